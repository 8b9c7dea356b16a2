"""Dead letters: what can never be counted, kept unchanged in a topic of its own, with where it came from and why.

A letter's identity is `topic@incarnation/partition/offset[/index]`: a topic that was deleted and created again has the
same offsets. A batch that is counted again after a crash sends its letters again; readers keep one of each identity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from app.domain.folding import DeadLetter
from app.domain.increments import Position
from app.errors import StoreUnavailable
from app.streams.producing import LateProducer

PREFIX = "scorekeeper-"
FORMAT = 1
"""The version of our headers; a reader refuses a greater one."""
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def identity(letter: DeadLetter, position: Position) -> str:
    """`topic@incarnation/partition/offset`, and the element's index where the message is a batch."""
    whole = f"{position.topic}@{position.incarnation}/{position.partition}/{letter.record.offset}"
    return whole if letter.index is None else f"{whole}/{letter.index}"


def headers_of(letter: DeadLetter, position: Position, *, by_reference: bool) -> list[tuple[str, bytes]]:
    """The original headers, then ours."""
    ours = {
        "format": str(FORMAT),
        "id": identity(letter, position),
        "topic": position.topic,
        "incarnation": position.incarnation,
        "partition": str(position.partition),
        "offset": str(letter.record.offset),
        "timestamp": str(letter.record.timestamp),
        "reason": str(letter.reason),
        "detail": _UNPRINTABLE.sub("?", letter.detail)[:500],
    }
    if letter.index is not None:
        ours["index"] = str(letter.index)
    if letter.project:
        ours["project"] = _UNPRINTABLE.sub("?", letter.project)[:200]
    if by_reference:
        ours["by-reference"] = f"{len(letter.record.value or b'')} bytes, in the original topic"
    return [*letter.record.headers, *((PREFIX + name, text.encode()) for name, text in ours.items())]


class DeadLetterTopic:
    """Implements tracking.DeadLetters: sends and waits until the brokers have them. Connects with the first letter."""

    def __init__(self, bootstrap: str, topic: str, security: Mapping[str, Any] | None = None) -> None:
        options: dict[str, Any] = {
            "bootstrap_servers": bootstrap.split(","),
            "acks": "all",
            "client_id": "scorekeeper-dead-letters",
            **(security or {}),
        }
        self._producer = LateProducer(options)
        self._topic = topic

    async def send(self, letters: Sequence[DeadLetter], position: Position) -> None:
        try:
            producer = await self._producer.connected()
            pending = [await self._send(producer, letter, position) for letter in letters]
            refused = [letter for letter, sent in zip(letters, pending, strict=True) if not await _is_written(sent)]
            for letter in refused:
                await (await self._send_reference(producer, letter, position))
        except (KafkaError, OSError, TimeoutError) as error:
            raise StoreUnavailable("the dead-letter topic", f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Disconnect."""
        await self._producer.close()

    async def _send(self, producer: AIOKafkaProducer, letter: DeadLetter, position: Position) -> Any:
        record = letter.record
        try:
            return await producer.send(
                self._topic,
                key=_sendable(record.key, record.value),
                value=record.value,
                headers=headers_of(letter, position, by_reference=False),
            )
        except MessageSizeTooLargeError:
            return await self._send_reference(producer, letter, position)

    async def _send_reference(self, producer: AIOKafkaProducer, letter: DeadLetter, position: Position) -> Any:
        key = letter.record.key
        return await producer.send(
            self._topic,
            key=_sendable(key if len(key or b"") <= 1000 else None, None),
            value=None,
            headers=headers_of(letter, position, by_reference=True),
        )


def _sendable(key: bytes | None, value: bytes | None) -> bytes | None:
    """The key; an empty one where there is neither key nor value, which the driver takes for a mistake."""
    return b"" if key is None and value is None else key


async def _is_written(sent: Any) -> bool:
    """False when the topic takes no message of that size."""
    try:
        await sent
    except (MessageSizeTooLargeError, RecordListTooLargeError):
        return False
    return True
