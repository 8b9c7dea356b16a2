"""Dead letters on a real broker: what its topic does not take is kept by reference."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer

from app.domain.folding import DeadLetter
from app.domain.increments import Position
from app.errors import Reason
from app.streams.dead_letters import DeadLetterTopic
from app.streams.log import Log
from app.streams.topics import Topics
from tests.builders import LogRecord

pytestmark = pytest.mark.kafka

POSITION = Position("events", 3, "topic-id")
GIVES_UP_SECONDS = 60


@pytest.mark.parametrize("most", ["20000", "1048588"], ids=["refused by the broker", "refused by the client"])
async def test_a_letter_that_is_too_large_is_kept_by_reference_and_its_neighbours_whole(
    kafka_bootstrap: str, make_topic: Callable[..., str], most: str
) -> None:
    topic = make_topic(1, max_message_bytes=most)
    # None, without a key: some producers write messages with neither.
    values = [b"small", b"x" * (int(most) + 100_000), None, b"after it"]
    letters = [DeadLetter(LogRecord(7 + n, value), Reason.INVALID_JSON, "no JSON") for n, value in enumerate(values)]
    sender = DeadLetterTopic(kafka_bootstrap, topic)
    try:
        async with asyncio.timeout(GIVES_UP_SECONDS):
            await sender.send(letters, POSITION)
    finally:
        await sender.close()
    (position,) = Topics(kafka_bootstrap).describe([topic])[0].positions()
    kept: dict[str, tuple[bytes | None, bool]] = {}
    async for batch in Log(kafka_bootstrap).read(position, 0, len(values)):
        for record in batch.records:
            headers = dict(record.headers)
            kept[headers["scorekeeper-id"].decode()] = (record.value, "scorekeeper-by-reference" in headers)
    assert kept == {
        "events@topic-id/3/7": (b"small", False),
        "events@topic-id/3/8": (None, True),
        "events@topic-id/3/9": (None, False),
        "events@topic-id/3/10": (b"after it", False),
    }


async def test_partitions_that_have_their_first_letters_at_once_share_one_connection(
    kafka_bootstrap: str, make_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[AIOKafkaProducer] = []
    start = AIOKafkaProducer.start

    async def note(producer: AIOKafkaProducer) -> None:
        started.append(producer)
        await start(producer)

    monkeypatch.setattr(AIOKafkaProducer, "start", note)
    sender = DeadLetterTopic(kafka_bootstrap, make_topic(1))
    letter = DeadLetter(LogRecord(7, b"{"), Reason.INVALID_JSON, "no JSON")
    async with asyncio.timeout(GIVES_UP_SECONDS):
        await asyncio.gather(*(sender.send([letter], Position("events", n, "topic-id")) for n in range(3)))
    await sender.close()
    assert len(started) == 1
