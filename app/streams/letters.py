"""Dead letters read back from their topic, and sent again once what was wrong with them has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from app.domain.folding import Record
from app.domain.moments import rfc3339
from app.errors import NotFound, ScorekeeperError
from app.ports import Which
from app.streams.dead_letters import FORMAT, PREFIX
from app.streams.log import Log
from app.streams.publishing import Message, Publisher
from app.streams.topics import Topics

REPLAY = "scorekeeper-replay"
SHOWN_CHARACTERS = 10_000
LOOKED_AT = 2_000


class Letter:
    """A dead letter as it lies in its topic. Raises ScorekeeperError when a newer version wrote it."""

    def __init__(self, record: Record) -> None:
        self.record = record
        # Ours stand after the original's, and win over what a message brought under our names.
        self.ours = {k[len(PREFIX) :]: v.decode(errors="replace") for k, v in record.headers if k.startswith(PREFIX)}
        if self.ours.get("format", "1") not in {str(number) for number in range(1, FORMAT + 1)}:
            told = f"a dead letter has format {self.ours['format']}, this version reads up to {FORMAT}"
            raise ScorekeeperError(f"{told}: use the version that wrote it, or a newer one")
        self.original = [(k, v) for k, v in record.headers if not k.startswith(PREFIX)]

    @property
    def ident(self) -> str:
        return self.ours.get("id", "")

    @property
    def received_at(self) -> int:
        """When the message was received first; epoch ms, 0 where that is not told."""
        told = self.ours.get("timestamp", "")
        return int(told) if told.isascii() and told.isdigit() else 0

    def as_json(self) -> dict[str, Any]:
        """What the command line shows: our headers, and the value as text."""
        value = self.record.value
        text = value.decode(errors="replace") if value is not None else None
        cut = text if text is None or len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
        return {**self.ours, "value": cut}


def fits(letter: Letter, which: Which) -> bool:
    """Whether the letter is one of those that are meant."""
    return (
        (which.reason is None or letter.ours.get("reason") == which.reason)
        and (which.projects is None or letter.ours.get("project", "") in which.projects)
        and (which.since is None or letter.received_at >= which.since)
        and (which.idents is None or letter.ident in which.idents)
    )


class Letters:
    """The topic of dead letters. Raises StoreUnavailable, and NotFound when the topic does not exist."""

    def __init__(self, topics: Topics, log: Log, topic: str, publisher: Callable[[str], Publisher]) -> None:
        self._topics = topics
        self._log = log
        self._topic = topic
        self._publisher = publisher

    async def read(self, which: Which, newest: int | None = None) -> AsyncIterator[Letter]:
        """The letters, each identity once: what is counted again after a crash is written again.

        With `newest`, only so many messages at the end of each of the topic's partitions are looked at.
        """
        seen: set[str] = set()
        (topic,) = await asyncio.to_thread(self._topics.describe, [self._topic])
        for position, (first, end) in (await asyncio.to_thread(self._topics.ends, topic.positions())).items():
            start = first if newest is None else max(first, end - newest)
            async for batch in self._log.read(position, start, end):
                for record in batch.records:
                    letter = Letter(record)
                    if letter.ident and letter.ident not in seen and fits(letter, which):
                        seen.add(letter.ident)
                        yield letter

    async def newest(self, which: Which, limit: int) -> list[dict[str, Any]]:
        """At most `limit`, the newest first, of those among the newest LOOKED_AT messages of each partition."""
        found = [letter async for letter in self.read(which, LOOKED_AT)]
        found.sort(key=lambda letter: letter.record.timestamp, reverse=True)
        return [shown(letter) for letter in found[:limit]]

    async def replay(self, which: Which) -> int:
        """Send all of them again; see `send_again`."""
        return await self.send_again([letter async for letter in self.read(which)])

    async def send_again(self, letters: Iterable[Letter]) -> int:
        """Send them to the topics they came from; returns how many were sent, when the brokers have them.

        Harmless to repeat: an event that counted once does not count again. Raises NotFound for a message that was too
        large for the dead-letter topic and has left the log since; nothing of that topic is sent then.
        """
        by_topic: dict[str, list[Letter]] = {}
        for letter in letters:
            by_topic.setdefault(letter.ours["topic"], []).append(letter)
        for topic, some in by_topic.items():
            messages = [
                Message(
                    letter.record.key, await self._value(letter), [*letter.original, (REPLAY, letter.ident.encode())]
                )
                for letter in some
            ]
            publisher = self._publisher(topic)
            await publisher.start()
            try:
                for message in messages:
                    await publisher.add(message)
                await publisher.flush()
            finally:
                await publisher.stop()
        return sum(len(some) for some in by_topic.values())

    async def _value(self, letter: Letter) -> bytes | None:
        """The original value; of one that was too large for the dead-letter topic, from where it first lay."""
        if "by-reference" not in letter.ours:
            return letter.record.value
        (topic,) = await asyncio.to_thread(self._topics.describe, [letter.ours["topic"]])
        position, offset = topic.positions()[int(letter.ours["partition"])], int(letter.ours["offset"])
        async for batch in self._log.read(position, offset, offset + 1):
            for record in batch.records:
                return record.value
        raise NotFound("message in the log for dead letter", letter.ident)


def shown(letter: Letter) -> dict[str, Any]:
    """A dead letter as the API answers it."""
    found = letter.as_json()
    return {
        "id": letter.ident,
        "reason": found.get("reason"),
        "detail": found.get("detail", ""),
        "topic": found.get("topic"),
        "partition": int(found.get("partition", 0)),
        "offset": int(found.get("offset", 0)),
        "receivedAt": rfc3339(letter.received_at or None),
        "value": found["value"],
        "byReference": "by-reference" in found,
    }
