"""Where the first messages since a moment lie: by real brokers' own times, with no message of them missed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from app.domain.beginning import WHOLE_LOG, Beginning
from app.domain.increments import Position
from app.embedded.broker import start_broker
from app.streams.beginnings import find_beginning, find_whole_log
from app.streams.log import Log
from app.streams.topics import Topics
from tests.end_to_end.processes import eventually
from tests.servers.ports import free_port

FULL, EMPTY = 0, 1
NOW = 9_000_000_000_000


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    broker = start_broker(tmp_path_factory.mktemp("broker"), free_port())
    yield broker.bootstrap
    broker.stop()


class Site:
    """A topic of two partitions, of which one stays empty, and whose broker stamps messages itself."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self.topics, self.log = Topics(bootstrap), Log(bootstrap)
        (described,) = self.topics.describe([topic])
        self.positions: list[Position] = described.positions()
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
        self._topic = topic

    def send(self, number: int) -> list[int]:
        """So many messages, each at a moment of its own; these moments."""
        sent: list[int] = []
        while len(sent) < number:
            at = self._producer.send(self._topic, b"{}", partition=FULL).get(30).timestamp
            assert not sent or at > sent[-1]
            sent.append(at)
            # So that the next one has another moment, and one lies between them.
            eventually(lambda: time.time() * 1000 > sent[-1] + 2, what=f"a moment later than {at}")
        return sent

    async def find(self, since: int) -> Beginning:
        return await find_beginning(self.topics, self.log, self.positions, since, NOW)

    async def find_whole(self) -> Beginning:
        return await find_whole_log(self.log, self.topics.ends(self.positions), NOW)

    def delete_below(self, offset: int) -> None:
        admin: Any = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        admin.delete_records({TopicPartition(self._topic, FULL): offset})
        admin.close()

    def close(self) -> None:
        self._producer.close()

    def begins(self, offset: int) -> dict[str, int]:
        return {self.positions[FULL].name: offset, self.positions[EMPTY].name: 0}


@pytest.fixture(params=["Kafka", "embedded"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if request.param == "Kafka":
        make_topic: Callable[..., str] = request.getfixturevalue("make_topic")
        made = Site(request.getfixturevalue("kafka_bootstrap"), make_topic(2, message_timestamp_type="LogAppendTime"))
    else:
        made = Site(request.getfixturevalue("embedded"), _embedded_topic(request.getfixturevalue("embedded")))
    yield made
    made.close()


def _embedded_topic(bootstrap: str) -> str:
    name = f"events-{uuid.uuid4().hex[:12]}"
    Topics(bootstrap).create(name, 2)
    return name


@pytest.mark.kafka
async def test_it_begins_with_the_first_message_at_or_after_the_moment(site: Site) -> None:
    sent = site.send(4)
    for offset, at in enumerate(sent):
        assert await site.find(at) == Beginning(at, site.begins(offset), at - 1 if offset else None)
        assert await site.find(at + 1) == Beginning(at + 1, site.begins(offset + 1), at)


@pytest.mark.kafka
async def test_where_nothing_came_since_then_it_begins_at_the_end_and_where_nothing_came_before_with_the_log(
    site: Site,
) -> None:
    after = site.send(2)[-1] + 1
    assert await site.find(after) == Beginning(after, site.begins(2), after - 1)
    for before in (1_000, 0, -1, -86_400_000):
        assert await site.find(before) == Beginning(before, site.begins(0))


@pytest.mark.kafka
async def test_what_comes_while_it_is_asked_for_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ends are asked for first, and what comes in between is of after the moment."""
    after = site.send(2)[-1] + 1
    ask = site.topics.first_since

    def be_late(positions: list[Position], moment: int) -> dict[Position, int]:
        found = dict(ask(positions, moment))
        site.send(3)
        return found

    monkeypatch.setattr(site.topics, "first_since", be_late)
    assert (await site.find(after)).offsets == site.begins(2)


@pytest.mark.kafka
async def test_what_comes_meanwhile_by_a_clock_that_trails_does_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = site.send(2)[-1] + 1

    def name_the_last(_: list[Position], __: int) -> dict[Position, int]:
        site.send(3)
        return {site.positions[FULL]: 4}

    monkeypatch.setattr(site.topics, "first_since", name_the_last)
    assert (await site.find(after)).offsets == site.begins(4)


@pytest.mark.kafka
async def test_what_the_log_holds_no_more_is_left_out_up_to_the_first_message_that_is_left(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    site = Site(kafka_bootstrap, make_topic(2, message_timestamp_type="LogAppendTime"))
    sent = site.send(4)
    assert await site.find_whole() == WHOLE_LOG
    site.delete_below(2)
    assert await site.find_whole() == Beginning(None, {site.positions[FULL].name: 2}, sent[2])
    assert await site.find(1_000) == Beginning(1_000, site.begins(2), sent[2])
    assert await site.find(sent[3]) == Beginning(sent[3], site.begins(3), sent[3] - 1)
    site.delete_below(4)
    assert await site.find_whole() == Beginning(None, {site.positions[FULL].name: 4}, NOW)
    site.close()


@pytest.mark.kafka
async def test_where_producers_set_the_time_anything_may_have_been_left_out(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    site = Site(kafka_bootstrap, make_topic(2, message_timestamp_type="CreateTime"))
    site.send(4)
    assert await site.find_whole() == WHOLE_LOG
    site.delete_below(2)
    assert await site.find_whole() == Beginning(None, {site.positions[FULL].name: 2}, NOW)
    site.close()
