"""Ctrl-C while a client of Kafka connects: it is waited for, and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiokafka.errors import KafkaConnectionError

from app.errors import StoreUnavailable
from app.streams import log, publishing, starting
from app.streams.log import Log
from app.streams.publishing import Publisher
from tests.builders import POSITION


class Client:
    """Of brokers that answer when `answers` is set, and then with `error` if there is one."""

    error: Exception | None = None

    def __init__(self, **_: object) -> None:
        self.is_asking = asyncio.Event()
        self.answers = asyncio.Event()
        self.has_started = self.was_broken_off = self.is_stopped = False

    async def start(self) -> None:
        self.is_asking.set()
        try:
            await self.answers.wait()
        except asyncio.CancelledError:
            self.was_broken_off = True
            raise
        if self.error is not None:
            raise self.error
        self.has_started = True

    async def stop(self) -> None:
        self.is_stopped = True


def read_the_log() -> Awaitable[object]:
    return anext(Log("nowhere:1").read(POSITION, 0, 1))


def publish() -> Awaitable[object]:
    return Publisher("nowhere:1", "events").start()


@pytest.fixture(params=[read_the_log, publish])
async def connecting(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[Client, asyncio.Task[object]]:
    """A client whose brokers were asked, and who waits for it."""
    client = Client()
    monkeypatch.setattr(log, "AIOKafkaConsumer", lambda **_: client)
    monkeypatch.setattr(publishing, "AIOKafkaProducer", lambda **_: client)
    asked: Callable[[], Awaitable[object]] = request.param
    task = asyncio.ensure_future(asked())
    await client.is_asking.wait()
    return client, task


@pytest.mark.parametrize(
    ("grace_seconds", "answers", "has_started"), [(60, True, True), (0.01, False, False)], ids=["answers", "silent"]
)
async def test_who_is_cancelled_while_it_connects_closes_the_client_and_is_not_held_by_silent_brokers(
    connecting: tuple[Client, asyncio.Task[object]],
    monkeypatch: pytest.MonkeyPatch,
    grace_seconds: float,
    *,
    answers: bool,
    has_started: bool,
) -> None:
    monkeypatch.setattr(starting, "GRACE_SECONDS", grace_seconds)
    client, task = connecting
    task.cancel()
    if answers:
        asyncio.get_running_loop().call_soon(client.answers.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (client.has_started, client.was_broken_off, client.is_stopped) == (has_started, not has_started, True)


async def test_brokers_that_cannot_be_reached_are_told_as_before(
    connecting: tuple[Client, asyncio.Task[object]],
) -> None:
    client, task = connecting
    client.error = KafkaConnectionError("nobody there")
    client.answers.set()
    with pytest.raises(StoreUnavailable, match="nobody there"):
        await task
    assert client.is_stopped
