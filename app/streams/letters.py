"""Dead letters read back from their topic, and sent again once what was wrong with them has changed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from hashlib import blake2b
from heapq import merge
from typing import Any

import msgspec

from app.domain.beginning import Spans
from app.domain.envelope import REPLAY_HEADER
from app.domain.folding import Record
from app.domain.increments import Position
from app.domain.moments import rfc3339
from app.errors import EndsBefore, InvalidDefinition, NotFound, ScorekeeperError
from app.ports import Which
from app.rereading import LogAsLeft, LogSource
from app.streams.dead_letters import FORMAT, PREFIX
from app.streams.publishing import Message, Publisher
from app.streams.topics import Topics

SHOWN_CHARACTERS = 10_000
LOOKED_AT = 2_000
_CURSOR = re.compile(r"[0-9]{1,9}\.[0-9]{1,18}(-[0-9]{1,9}\.[0-9]{1,18}){0,999}")


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
    def origin(self) -> bytes:
        """The identity of the message's first letter. A replayed message keeps it: an event without an id counts once,
        however often it came back."""
        first = next((value for name, value in self.record.headers if name == REPLAY_HEADER and value), None)
        if first is None:
            return self.ident.encode()
        # An element of a batch that was replayed as a whole.
        return b"/".join([first, self.ours["index"].encode()]) if "index" in self.ours else first

    @property
    def message(self) -> bytes:
        """A digest of the message: its identity, and its value, since services hand headers on to others of theirs."""
        value = self.record.value
        return blake2b(msgspec.msgpack.encode((self.origin, value)), digest_size=16).digest()

    @property
    def received_at(self) -> int:
        """When the message was received first; epoch ms, 0 where that is not told."""
        told = self.ours.get("timestamp", "")
        return int(told) if told.isascii() and told.isdigit() else 0

    def as_json(self) -> dict[str, Any]:
        """What the command line shows: our headers, and the value as text."""
        value = self.record.value
        text = value.decode(errors="replace") if value is not None else None
        shortened = text if text is None or len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
        return {**self.ours, "value": shortened}


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

    def __init__(self, topics: Topics, log: LogSource, topic: str, publisher: Callable[[str], Publisher]) -> None:
        self._topics = topics
        self._log = LogAsLeft(log)
        self._topic = topic
        self._publisher = publisher

    async def read(self, which: Which) -> AsyncGenerator[Letter, None]:
        """The letters, each identity once: what is counted again after a crash is written again."""
        seen: set[str] = set()
        for position, (first, end) in (await self._spans()).items():
            async with aclosing(self._within(position, first, end, which)) as letters:
                async for letter in letters:
                    if letter.ident not in seen:
                        seen.add(letter.ident)
                        yield letter

    async def newest(
        self, which: Which, limit: int, before: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """At most `limit`, the newest first, and what to give as `before` for those that follow; None at the end.

        Of each partition LOOKED_AT messages are looked at, so that a page may hold less, or nothing. Raises
        InvalidDefinition for a `before` that no page gave.
        """
        untils, rest, found = cursor_of(before), {}, []
        for position, (first, end) in (await self._spans()).items():
            until = min(end, untils.get(position.partition, end))
            since = max(first, until - LOOKED_AT)
            own = [(position.partition, letter) async for letter in self._within(position, since, until, which)]
            found.append(reversed(own))
            rest[position.partition] = (first, since)
        taken: dict[str, Letter] = {}
        for partition, letter in merge(*found, key=lambda one: -one[1].record.timestamp):
            if len(taken) == limit:
                # The first that has no room, of each partition: the next page begins with it.
                first, since = rest[partition]
                rest[partition] = (first, max(since, letter.record.offset + 1))
            else:
                taken.setdefault(letter.ident, letter)
        more = {partition: since for partition, (first, since) in rest.items() if since > first}
        ended = {partition: first for partition, (first, since) in rest.items() if since <= first}
        return [shown(letter) for letter in taken.values()], cursor_text({**more, **ended}) if more else None

    async def last_at(self) -> int | None:
        """When the last one was written (epoch ms); None where the topic holds none any more."""
        found = []
        for position, (first, end) in (await self._spans()).items():
            async for batch in self._log.read(position, max(first, end - 1), end):
                found += [record.timestamp for record in batch.records]
        return max(found, default=None)

    async def _spans(self) -> Spans:
        (topic,) = await asyncio.to_thread(self._topics.describe, [self._topic])
        return await asyncio.to_thread(self._topics.ends, topic.positions())

    async def _within(self, position: Position, start: int, end: int, which: Which) -> AsyncGenerator[Letter, None]:
        async with aclosing(self._log.read(position, start, end)) as batches:
            async for batch in batches:
                for record in batch.records:
                    letter = Letter(record)
                    if letter.ident and fits(letter, which):
                        yield letter

    async def replay(self, which: Which) -> int:
        """Send them to the topics they came from again; returns how many were sent, when the brokers have them.

        Harmless to repeat: an event that counted once does not count again, and a message that came back as a dead
        letter, however often, is sent once. Raises, when all others were sent, NotFound for a message whose topic is
        gone, or that was too large for the dead-letter topic and has left the log since, and ScorekeeperError for what
        is too large for its own topic, with the header that a replay adds. The letters are read twice, since there may
        be more of them than memory holds.
        """
        # Of those of one message the last: one that is kept by reference lies in the log for longer.
        last = {letter.message: letter.ident async for letter in self.read(which)}
        missing = None
        async with AsyncExitStack() as stack:
            publishers = _Publishers(self._topics, self._publisher, stack)
            letters = await stack.enter_async_context(aclosing(self.read(which)))
            async for letter in letters:
                message = letter.message
                if last.get(message) != letter.ident:
                    continue
                del last[message]
                try:
                    publisher = await publishers.of(letter.ours["topic"])
                    value = await self._value(letter)
                except NotFound as error:
                    missing = missing or error
                    continue
                headers = [*letter.original, (REPLAY_HEADER, letter.origin)]
                await publisher.add(Message(letter.record.key, value, headers))
            sent = await publishers.flush()
        if missing is not None:
            raise missing
        return sent

    async def _value(self, letter: Letter) -> bytes | None:
        """The original value; of one that was too large for the dead-letter topic, from where it first lay."""
        if "by-reference" not in letter.ours:
            return letter.record.value
        (topic,) = await asyncio.to_thread(self._topics.describe, [letter.ours["topic"]])
        if letter.ours.get("incarnation", topic.incarnation) != topic.incarnation:
            # Another message lies there now.
            raise NotFound("message in the log for dead letter", letter.ident)
        position, offset = topic.positions()[int(letter.ours["partition"])], int(letter.ours["offset"])
        with suppress(EndsBefore):
            async with aclosing(self._log.read(position, offset, offset + 1)) as batches:
                async for batch in batches:
                    for record in batch.records:
                        return record.value
        raise NotFound("message in the log for dead letter", letter.ident)


class _Publishers:
    """Of the topics that letters came from; `stack` stops them."""

    def __init__(self, topics: Topics, make: Callable[[str], Publisher], stack: AsyncExitStack) -> None:
        self._topics = topics
        self._make = make
        self._stack = stack
        self._started: dict[str, Publisher] = {}
        self._gone: dict[str, NotFound] = {}

    async def of(self, topic: str) -> Publisher:
        """Raises NotFound when it does not exist; it is asked for once."""
        if topic in self._gone:
            raise self._gone[topic]
        if topic not in self._started:
            try:
                await asyncio.to_thread(self._topics.describe, [topic])
            except NotFound as error:
                self._gone[topic] = error
                raise
            publisher = self._make(topic)
            await publisher.start()
            self._stack.push_async_callback(publisher.stop)
            self._started[topic] = publisher
        return self._started[topic]

    async def flush(self) -> int:
        """How many messages the brokers have. Raises ScorekeeperError, when they have all others, for what was
        refused."""
        for publisher in self._started.values():
            await publisher.flush()
        for topic, publisher in self._started.items():
            if publisher.refused:
                what = f"{topic} did not take {len(publisher.refused)} of the messages"
                raise ScorekeeperError(
                    f"{what}, which are too large with the header of a replay: raise its max.message.bytes, and replay "
                    "again"
                )
        return sum(publisher.published for publisher in self._started.values())


def cursor_text(untils: Mapping[int, int]) -> str:
    """Where a page ended: partition and the offset before which the next one looks, of each."""
    return "-".join(f"{partition}.{until}" for partition, until in sorted(untils.items()))


def cursor_of(text: str | None) -> dict[int, int]:
    """Raises InvalidDefinition."""
    if text is None:
        return {}
    if not _CURSOR.fullmatch(text):
        raise InvalidDefinition("/before", f"{text[:40]!r} is no place in the list.", "Give the `next` of a page.")
    return {int(partition): int(until) for partition, until in (one.split(".") for one in text.split("-"))}


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
