"""Topics as their broker knows them: partitions, identity, ends, and whether it stamps messages itself. Blocking.

Every call of Topics connects, asks and closes: these are questions of a start, a command or a check, never of a record.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, OffsetOutOfRangeError, TopicAlreadyExistsError, UnknownTopicOrPartitionError
from kafka.net import KafkaNetSocket
from kafka.net.compat import KafkaNetClient
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from app.domain.beginning import Spans
from app.domain.increments import Position
from app.domain.witness import Found, Witness, find_cut, is_whole, last_below
from app.errors import NotFound, StoreUnavailable
from app.streams.options import ISOLATION

_FETCH_SECONDS = 3.0
_SOON_SECONDS = 0.25
_KEPT_SECONDS = 60.0
"""A connection that nobody used for longer may have been broken off without a word."""
_CLOSED = "closed"


class _ClosedSockets(KafkaNetSocket):  # type: ignore[misc]  # the package has no types
    """Sockets that are closed when they do not connect: kafka-python's own wait for the garbage collector, two more
    each second while brokers are away. It finds this class by the scheme of `proxy_url`; there is no proxy."""

    SCHEMES = (_CLOSED,)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


CLOSING_SOCKETS: Final[Mapping[str, str]] = {"proxy_url": f"{_CLOSED}://"}
"""Settings of a kafka-python client: sockets that did not connect are closed."""


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """`incarnation` is the broker's id of the topic: one that was deleted and created again has another."""

    name: str
    incarnation: str
    partitions: int

    def positions(self) -> list[Position]:
        return [Position(self.name, partition, self.incarnation) for partition in range(self.partitions)]


class Topics:
    """Asks the brokers at `bootstrap`. `security` holds kafka-python's connection settings. Raises StoreUnavailable."""

    def __init__(
        self, bootstrap: str, security: Mapping[str, Any] | None = None, *, timeout_seconds: float = 10
    ) -> None:
        self._timeout = timeout_seconds
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap.split(","),
            "request_timeout_ms": int(timeout_seconds * 1000),
            "bootstrap_timeout_ms": int(timeout_seconds * 1000),
            # By default the pauses grow to 30 s, and a worker that waits for its topics comes back as late.
            "reconnect_backoff_max_ms": 500,
            **CLOSING_SOCKETS,
            **(security or {}),
        }

    def describe(self, names: Sequence[str]) -> list[TopicDescription]:
        """In the order of `names`. Raises NotFound naming the first topic that does not exist."""
        with self._admin() as admin:
            answers = admin.describe_topics(list(names))
        return _descriptions(names, answers)

    def kept_descriptions(self) -> KeptDescriptions:
        """For who asks for descriptions again and again; to be closed."""
        return KeptDescriptions(lambda: _connected(KafkaAdminClient, self._options))

    def names(self) -> list[str]:
        """The topics that exist."""
        with self._admin() as admin:
            return sorted(admin.list_topics())

    def create(
        self, name: str, partitions: int, *, replication: int = -1, config: Mapping[str, str] | None = None
    ) -> bool:
        """Create the topic, and wait until a broker tells of it; False when it exists already."""
        topic = NewTopic(name, partitions, replication, topic_configs=dict(config or {}))
        with self._admin() as admin:
            try:
                admin.create_topics([topic])
            except TopicAlreadyExistsError:
                return False
            # The controller answers before the brokers have learned of it.
            self._until_known(lambda: _descriptions([name], admin.describe_topics([name])), name)
        return True

    def _until_known(self, describe: Callable[[], object], name: str) -> None:
        try:
            Retrying(
                retry=retry_if_exception_type((NotFound, StoreUnavailable)),
                wait=wait_fixed(0.02),
                stop=stop_after_delay(self._timeout),
            )(describe)
        except RetryError as error:
            reason = f"it created the topic {name}, and does not know it {self._timeout:g} s later"
            raise StoreUnavailable("kafka", reason) from error

    def config(self, name: str) -> Mapping[str, str]:
        """The topic's settings (`message.timestamp.type`, `retention.ms`, …); {} where the broker does not tell."""
        with self._admin() as admin:
            answer = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        topics = answer.get("topic", {}) if isinstance(answer, dict) else {}
        values = topics.get(name, {})
        return {key: _text(value) for key, value in values.items()}

    def ends(self, positions: Sequence[Position]) -> Spans:
        """Per position: the first offset that the log holds, and its end: the next offset to be written, or where the
        first transaction began that is open."""
        with self.kept_ends() as kept:
            return kept.of(positions)

    def kept_ends(self) -> KeptEnds:
        """For who asks for ends again and again; to be closed."""
        options = {**self._looking_options(), "isolation_level": ISOLATION}
        return KeptEnds(lambda: _connected(KafkaConsumer, options))

    def kept_records(self) -> KeptRecords:
        """For who looks at single messages; to be closed."""
        return KeptRecords(lambda: _connected(KafkaConsumer, self._looking_options()))

    def _looking_options(self) -> dict[str, Any]:
        options = {**self._options, "group_id": None, "enable_auto_commit": False, "auto_offset_reset": "none"}
        # In a session, a broker is silent about partitions of which it told the same before.
        options["enable_incremental_fetch_sessions"] = False
        # A fetch is answered with one whole batch of the broker's. The embedded one leaves out partitions at which it
        # could not look before the wait was over.
        return options | {"fetch_max_wait_ms": 10, "max_partition_fetch_bytes": 1, "max_poll_records": 1_000_000}

    def first_since(self, positions: Sequence[Position], moment: int) -> Mapping[Position, int]:
        """As the broker says, per position the offset of the first message that was received at or after this moment
        (epoch ms); those that hold none are left out."""
        wanted = {TopicPartition(position.topic, position.partition): position for position in positions}
        with _errors():
            consumer = _connected(KafkaConsumer, {**self._options, "group_id": None, "enable_auto_commit": False})
            try:
                found = consumer.offsets_for_times(dict.fromkeys(wanted, max(moment, 0)))
            finally:
                consumer.close()
        return {position: found[tp].offset for tp, position in wanted.items() if found.get(tp) is not None}

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        with _errors():
            admin = _connected(KafkaAdminClient, self._options)
            try:
                yield admin
            finally:
                admin.close()


class _Kept:
    """A client that is kept between two uses. Threads that ask at once have one each, of which one is kept."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._idle: tuple[Any, float] | None = None
        """The client, and since when."""
        self._is_closed = False

    def close(self) -> None:
        """Who asks meanwhile gets the answer, and closes."""
        with self._lock:
            idle, self._idle, self._is_closed = self._idle, None, True
        if idle is not None:
            idle[0].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """One that broke is not used again. Raises StoreUnavailable."""
        with _errors():
            client = self._take()
            try:
                yield client
            except BaseException:
                client.close()
                raise
            self._give_back(client)

    def _take(self) -> Any:
        with self._lock:
            idle, self._idle = self._idle, None
        if idle is not None:
            client, since = idle
            if time.monotonic() - since < _KEPT_SECONDS:
                return client
            client.close()
        return self._connect()

    def _give_back(self, client: Any) -> None:
        with self._lock:
            is_kept = self._idle is None and not self._is_closed
            if is_kept:
                self._idle = client, time.monotonic()
        if not is_kept:
            client.close()


class KeptDescriptions(_Kept):
    """`Topics.describe` over a connection that is kept: a fifth of the work."""

    def of(self, names: Sequence[str]) -> list[TopicDescription]:
        """In the order of `names`. Raises NotFound naming the first topic that does not exist."""
        with self._client() as admin:
            answers = admin.describe_topics(list(names))
        return _descriptions(names, answers)


class KeptEnds(_Kept):
    """`Topics.ends` over a connection that is kept."""

    def of(self, positions: Sequence[Position]) -> Spans:
        """As `Topics.ends`."""
        wanted = {TopicPartition(position.topic, position.partition): position for position in positions}
        with self._client() as consumer:
            first = consumer.beginning_offsets(list(wanted))
            end = _true_ends(consumer, consumer.end_offsets(list(wanted)))
        return {position: (first[tp], end[tp]) for tp, position in wanted.items()}


class KeptRecords(_Kept):
    """Looks at single messages over a connection that is kept."""

    def find_cut(self, position: Position, counted: int, witness: Witness) -> int | None:
        """See `find_cut`. Raises StoreUnavailable."""
        tp = TopicPartition(position.topic, position.partition)
        with self._client() as consumer:
            consumer.unsubscribe()
            consumer.assign([tp])
            if is_whole(witness, counted, lambda offset: _soon_from(consumer, tp, offset)):
                return None
            begin, end = _span(consumer, tp, max(counted, witness.offset))
            return find_cut(witness, counted, (begin, end), lambda offset: _first_from(consumer, tp, offset, end))

    def last_below(self, position: Position, offset: int) -> Witness | None:
        """What bears witness of the log up to there; None where no message is near. Raises StoreUnavailable."""
        tp = TopicPartition(position.topic, position.partition)
        with self._client() as consumer:
            begin, end = _span(consumer, tp, offset)
            found = last_below(offset, begin, lambda at: _first_from(consumer, tp, at, end))
        return None if found is None else Witness(found.epoch, found.offset + 1, found.timestamp)


def _span(consumer: Any, tp: TopicPartition, known_to: int) -> tuple[int, int]:
    """Where the log begins, and where it ends or some offset from `known_to` on: with Kafka that costs no fetch, which
    would wait for more at the end of each partition that is looked at after an assignment."""
    consumer.unsubscribe()
    consumer.assign([tp])
    begin, told = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])
    return begin, told[tp] if told[tp] >= known_to else _true_ends(consumer, told)[tp]


def _soon_from(consumer: Any, tp: TopicPartition, offset: int) -> Found | None:
    """See FirstFrom; None too where nothing comes at once, as at the end of the log."""
    consumer.seek(tp, offset)
    deadline = time.monotonic() + _SOON_SECONDS
    with suppress(OffsetOutOfRangeError):
        while time.monotonic() < deadline:
            for record in consumer.poll(timeout_ms=20).get(tp, ()):
                return Found(record.offset, record.leader_epoch, record.timestamp)
    return None


def _first_from(consumer: Any, tp: TopicPartition, offset: int, end: int) -> Found | None:
    """See FirstFrom. Raises StoreUnavailable."""
    consumer.seek(tp, offset)
    deadline = time.monotonic() + _FETCH_SECONDS
    while consumer.position(tp) < end:
        for record in consumer.poll(timeout_ms=20).get(tp, ()):
            return Found(record.offset, record.leader_epoch, record.timestamp)
        if time.monotonic() > deadline:
            raise StoreUnavailable("kafka", f"{tp.topic}/{tp.partition} was not read at {offset}")
    return None


def _descriptions(names: Sequence[str], answers: Sequence[Mapping[str, Any]]) -> list[TopicDescription]:
    by_name = {answer["name"]: answer for answer in answers}
    found = []
    for name in names:
        answer = by_name.get(name)
        if answer is None or answer["error_code"] == UnknownTopicOrPartitionError.errno:
            raise NotFound("topic", name)
        if answer["error_code"]:
            raise StoreUnavailable("kafka", f"the topic {name} answers error {answer['error_code']}")
        found.append(TopicDescription(name, str(answer["topic_id"] or ""), len(answer["partitions"])))
    return found


def _connected(client: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """The client, connected. One that cannot connect would leave its thread running, and its sockets open, for ever."""
    networks: list[KafkaNetClient] = []

    def network(**configs: Any) -> KafkaNetClient:
        networks.append(KafkaNetClient(**configs))
        return networks[-1]

    try:
        return client(**options, kafka_client=network)
    except BaseException:
        for each in networks:
            each.close()
        raise


def _true_ends(consumer: Any, told: Mapping[Any, int]) -> Mapping[Any, int]:
    """The ends as a fetch from there tells them: asked for the latest offset, the embedded broker names the second of
    the last batch. Raises StoreUnavailable where no fetch is answered: an end that is too low reads like a cut."""
    consumer.unsubscribe()  # else it remembers what a fetch told the last time
    consumer.assign(list(told))
    for tp, offset in told.items():
        consumer.seek(tp, offset)
    deadline = time.monotonic() + _FETCH_SECONDS
    while silent := [tp for tp in told if consumer.highwater(tp) is None]:
        if time.monotonic() >= deadline:
            where = f"{silent[0].topic}/{silent[0].partition}"
            raise StoreUnavailable("kafka", f"no answer of where {where} ends within {_FETCH_SECONDS:g} s")
        consumer.poll(timeout_ms=20)
    return {tp: max(offset, consumer.position(tp)) for tp, offset in told.items()}


def _text(value: Any) -> str:
    return str(value.get("value")) if isinstance(value, dict) else str(getattr(value, "value", value))


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        # Its text begins with its name.
        raise StoreUnavailable("kafka", str(error)) from error
    except OSError as error:
        raise StoreUnavailable("kafka", f"{type(error).__name__}: {error}") from error
