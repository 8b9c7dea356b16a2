"""The private seams of faust-streaming and aiokafka that the batch consumer stands on. Another version fails here."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.protocol.fetch import FetchRequest
from faust import App
from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.transport import consumer as faust_consumer
from faust.transport.conductor import Conductor
from faust.transport.drivers import aiokafka as driver
from faust.transport.producer import ProducerBuffer
from faust.types import TP, ConsumerMessage

from app.streams.consumer import START_SECONDS, BatchConsumer
from app.streams.faust_app import make_app
from app.streams.options import KafkaOptions


def test_the_versions_are_those_the_seams_were_read_in() -> None:
    assert version("faust-streaming") == "0.15.3"
    assert version("aiokafka") == "0.14.0"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (faust_consumer.Consumer, "_drain_messages", ["self", "fetcher"]),
        (faust_consumer.Consumer, "on_buffer_full", ["self", "tp"]),
        (faust_consumer.Consumer, "_filter_committable_offsets", ["self", "tps"]),
        (faust_consumer.Consumer, "ack", ["self", "message"]),
        (faust_consumer.ThreadDelegateConsumer, "seek_to_committed", ["self"]),
        (faust_consumer.ThreadDelegateConsumer, "_new_consumer_thread", ["self"]),
        (faust_consumer.ThreadDelegateConsumer, "_getmany", ["self", "active_partitions", "timeout"]),
        (driver.AIOKafkaConsumerThread, "_commit", ["self", "offsets"]),
        (driver.AIOKafkaConsumerThread, "verify_event_path", ["self", "now", "tp"]),
        (driver.AIOKafkaConsumerThread, "_verify_aiokafka_event_path", ["self", "now", "tp"]),
        (driver.AIOKafkaConsumerThread, "_ensure_consumer", ["self"]),
        (driver.AIOKafkaConsumerThread, "_create_consumer", ["self", "loop"]),
        (App, "_new_transport", ["self"]),
        (AIOKafkaConsumer, "seek", ["self", "partition", "offset"]),
        (AIOKafkaClient, "send", ["self", "node_id", "request", "group"]),
        (AIOKafkaClient, "force_metadata_update", ["self"]),
        (Fetcher, "fetched_records", ["self", "partitions", "timeout", "max_records"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_seam_has_the_shape_it_was_built_on(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def test_faust_seeks_through_our_method_after_a_rebalance() -> None:
    assert "self.seek_to_committed()" in inspect.getsource(faust_consumer.Consumer.perform_seek)
    assert BatchConsumer.seek_to_committed is not faust_consumer.ThreadDelegateConsumer.seek_to_committed


def test_faust_ends_its_recovery_when_a_seek_takes_longer_than_a_request(tmp_path: Path) -> None:
    """Why our seek returns before: a later Faust may not need that."""
    assert "consumer.perform_seek(), timeout=self.app.conf.broker_request_timeout" in inspect.getsource(
        Recovery._resume_streams
    )
    app = make_app(KafkaOptions("127.0.0.1:1", ("events",), "group", "client"), tmp_path)
    assert app.conf.broker_request_timeout > START_SECONDS


async def test_the_manager_of_tables_starts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust's own waits a second first, and then does what ours does."""
    kept = [line for line in inspect.getsource(TableManager.on_start).splitlines() if "await" in line]
    assert [line.strip() for line in kept] == [
        "await self.sleep(1.0)",
        "await self._update_channels()",
        "await self.recovery.start()",
    ]
    begun: list[str] = []

    def noting(what: str) -> Callable[..., Awaitable[None]]:
        async def note(*_: object) -> None:
            begun.append(what)

        return note

    monkeypatch.setattr(TableManager, "sleep", noting("sleep"))
    monkeypatch.setattr(TableManager, "_update_channels", noting("channels"))
    monkeypatch.setattr(Recovery, "start", noting("recovery"))
    tables = make_app(KafkaOptions("127.0.0.1:1", ("events",), "group", "client"), tmp_path).tables
    assert isinstance(tables, TableManager)
    await tables.on_start()
    assert begun == ["channels", "recovery"]


def test_faust_drains_through_our_method() -> None:
    assert "consumer._drain_messages(self)" in inspect.getsource(faust_consumer.Fetcher)


async def test_a_stream_takes_a_message_without_a_wait_where_its_buffer_has_room(tmp_path: Path) -> None:
    app = make_app(KafkaOptions("127.0.0.1:1", ("events",), "group", "client"), tmp_path)
    channel: Any = app.topic("events")
    app.topics.add(channel)
    assert [topic.queue.full() for topic in app.topics] == [False]
    for number in range(app.conf.stream_buffer_maxsize):
        channel.queue.put_nowait(number)
    assert [topic.queue.full() for topic in app.topics] == [True]
    app.flow_control.suspend()
    assert not app.flow_control.is_active()
    app.flow_control.resume()
    assert app.flow_control.is_active()
    buffer = ProducerBuffer()
    buffer.app = app
    parts: Any = SimpleNamespace(
        conf=app.conf,
        flow_control=app.flow_control,
        producer=SimpleNamespace(buffer=buffer),
        consumer=SimpleNamespace(on_buffer_full=None, on_buffer_drop=None),
        sensors=SimpleNamespace(on_topic_buffer_full=None),
    )
    conductor: Any = SimpleNamespace(app=parts)
    handle: Any = Conductor._build_handler(conductor, TP("events", 0), {channel})
    message = ConsumerMessage("events", 0, 0, 0.0, 1, None, None, b"", None, None, None, TP("events", 0))
    with pytest.raises(StopIteration):
        handle(message).send(None)
    assert channel.queue.qsize() == 1


def test_the_driver_keeps_the_end_of_the_log_and_when_it_was_told() -> None:
    source = inspect.getsource(Fetcher._proc_fetch_request)
    assert "tp_state.highwater = highwater" in source
    assert "tp_state.lso = lso" in source
    assert "tp_state.timestamp = now_ms" in source
    assert "self.timestamp" in inspect.getsource(TopicPartitionState.__init__)


def test_a_fetch_tells_its_partitions() -> None:
    request = FetchRequest(250, 1, 1_000, 0, [("events", [(3, 17, 1_000)])])
    assert [(topic, partition) for topic, partitions in request.topics for partition, *_ in partitions] == [
        ("events", 3)
    ]
    assert "self._client.send(node_id, request)" in inspect.getsource(Fetcher._proc_fetch_request)


def test_the_driver_asks_for_metadata_when_a_broker_does_not_know_a_partition_or_is_lost() -> None:
    source = inspect.getsource(Fetcher._proc_fetch_request)
    assert "UnknownTopicOrPartitionError" in source.split("self._client.force_metadata_update()")[0]
    assert "self.force_metadata_update()" in inspect.getsource(AIOKafkaClient._on_connection_closed)


def test_the_driver_leaves_the_group_when_it_is_idle_for_too_long_and_joins_no_more_until_it_fetches() -> None:
    """Why our consumer says again and again that it is alive: a later driver may not need that."""
    assert "idle_time >= self._max_poll_interval" in inspect.getsource(GroupCoordinator.ensure_active_group)
    assert "_last_fetch_ended = time.monotonic()" in inspect.getsource(SubscriptionState.fetch_context)


def test_the_drivers_wait_for_new_records_can_be_set() -> None:
    assert "_fetch_max_wait_ms" in inspect.getsource(AIOKafkaConsumer.__init__)


def test_the_driver_reads_its_isolation_when_it_starts() -> None:
    assert "isolation_level=self._isolation_level" in inspect.getsource(AIOKafkaConsumer.start)
