"""Messages that a producer wrote in Kafka transactions: what was committed counts, once, and what was aborted never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat

import pytest
from aiokafka import AIOKafkaProducer

from tests.end_to_end.processes import eventually
from tests.faults.site import MakeSite, Site, now_ms
from tests.faults.traffic import Traffic

pytestmark = [pytest.mark.faults, pytest.mark.kafka]


@asynccontextmanager
async def transactions(site: Site) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=site.kafka, transactional_id=site.topic) as producer:
        yield producer


async def write(producer: AIOKafkaProducer, site: Site, traffic: Traffic, number: int = 20) -> None:
    for sent in traffic.take(number):
        await producer.send(site.topic, sent.value, key=sent.key, partition=sent.partition)
    await producer.flush()


@pytest.mark.parametrize("ends", [(True, True), (False, True), (True, False), (False, False)], ids=str)
def test_a_log_that_ends_with_the_mark_of_a_transaction_is_counted_to_its_end(
    make_site: MakeSite, ends: tuple[bool, ...]
) -> None:
    """Where it is not, it is never fresh again, and the worker ends for not getting on, again and again."""
    site = make_site(seed=49, partitions=2)
    site.start_workers(1)

    async def publish() -> None:
        traffic = site.more_traffic(site.partitions)
        async with transactions(site) as producer:
            for is_committed in ends:
                await producer.begin_transaction()
                await write(producer, site, traffic)
                await (producer.commit_transaction() if is_committed else producer.abort_transaction())

    asyncio.run(publish())
    site.wait_until_counted(30)
    ended = now_ms()
    eventually(lambda: site.fresh_as_of() > ended, 30, "freshness")
    assert len(site.log()) == 20 * sum(ends)
    assert site.differences() == []
    verified = site.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("is_committed", [True, False])
def test_behind_an_open_transaction_nothing_counts_until_it_has_ended(make_site: MakeSite, is_committed: bool) -> None:
    site = make_site(seed=50, partitions=2)
    site.start_workers(1)
    site.publish(200)
    site.wait_until_counted()
    before = site.ends()

    async def publish() -> None:
        async with transactions(site) as producer:
            await producer.begin_transaction()
            await write(producer, site, site.more_traffic(site.partitions))
            # Until its first message was there, all that the log held was counted.
            opened = now_ms()
            await asyncio.to_thread(site.publish, 200)
            assert site.ends() == before
            verified = await asyncio.to_thread(site.run, "verify")
            assert verified.returncode == 0, verified.stdout + verified.stderr
            assert site.fresh_as_of() <= opened, "what lies in the log may count yet"
            assert site.checkpoints() == {partition: end for partition, (_, end) in before.items()}
            await (producer.commit_transaction() if is_committed else producer.abort_transaction())

    asyncio.run(publish())
    # What came last is not stable before its transaction's end is known to the broker, a moment after it was answered.
    eventually(lambda: all(end > before[partition] for partition, end in site.ends().items()), 30, "its end")
    site.wait_until_counted()
    assert len(site.log()) == 400 + 20 * is_committed
    assert site.differences() == []


def test_a_long_stretch_of_aborted_messages_hides_nothing_behind_it(make_site: MakeSite) -> None:
    """Longer than several answers of the broker, of which none holds a message that counts."""
    site = make_site(seed=51, partitions=1)

    async def publish() -> None:
        async with transactions(site) as producer:
            await producer.begin_transaction()
            for value in repeat(b"x" * 500_000, 60):
                await producer.send(site.topic, value, partition=0)
            await producer.abort_transaction()

    site.publish(50)
    asyncio.run(publish())
    site.publish(50)
    site.start_workers(1)
    site.wait_until_counted()
    assert len(site.log()) == 100
    assert site.differences() == []
    verified = site.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
