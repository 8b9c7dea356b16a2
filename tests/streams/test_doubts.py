from __future__ import annotations

from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from app.streams.doubts import UNWATCHED_MS, Doubts


class Client:
    """Of the driver's client what is watched."""

    def __init__(self) -> None:
        self.now = 100.0
        self.updates = 0
        self.sent: list[tuple[Any, ...]] = []

    def force_metadata_update(self) -> str:
        self.updates += 1
        return "updated"

    def send(self, node_id: int, request: Any, **options: Any) -> str:
        self.sent.append((node_id, request, options))
        return "answer"

    def fetch(self, *partitions: int) -> Any:
        topics = [("events", [(partition, 0, 1_000) for partition in partitions])]
        return self.send(1, FetchRequest(250, 1, 1_000, 0, topics))


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def doubts(client: Client) -> Doubts:
    return Doubts(client, lambda: client.now)


def test_an_error_of_a_broker_is_a_doubt_and_is_handed_on(client: Client, doubts: Doubts) -> None:
    assert client.force_metadata_update() == "updated"
    assert (doubts.number, client.updates) == (1, 1)


def test_who_asks_again_in_time_has_no_doubt(client: Client, doubts: Doubts) -> None:
    for _ in range(5):
        assert client.fetch(0, 1) == "answer"
        client.now += UNWATCHED_MS / 1000
    assert doubts.number == 0
    assert len(client.sent) == 5


def test_who_has_not_asked_for_a_while_has_a_doubt(client: Client, doubts: Doubts) -> None:
    client.fetch(0, 1)
    client.now += (UNWATCHED_MS + 1) / 1000
    client.fetch(0, 1)
    assert doubts.number == 1


def test_each_partition_is_watched_by_itself(client: Client, doubts: Doubts) -> None:
    client.fetch(0, 1)
    client.now += 0.2
    client.fetch(0)
    client.now += 0.2
    client.fetch(0)
    assert doubts.number == 0
    client.fetch(1)
    assert doubts.number == 1


def test_other_requests_are_handed_on_and_say_nothing(client: Client, doubts: Doubts) -> None:
    client.fetch(0)
    client.now += 10
    request = MetadataRequest(["events"])
    assert client.send(2, request, group=1) == "answer"
    assert client.sent[-1] == (2, request, {"group": 1})
    assert doubts.number == 0
