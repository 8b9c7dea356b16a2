"""What the HTTP layer is handed: one value, wired in `api/__main__.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.alerting import Alerts
from app.defining import Defining
from app.domain.event import Event
from app.domain.parsing import ParsingRules
from app.experiments import Experiments
from app.ports import DefinitionStore, Which
from app.reporting import Reporter


class Key(Protocol):
    """Who asks."""

    @property
    def id(self) -> str: ...
    @property
    def project(self) -> str: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...
    def may(self, scope: str) -> bool: ...


class Keys(Protocol):
    """Blocking. Raise InvalidApiKey, StoreUnavailable."""

    def authenticate(self, text: str) -> Any: ...
    def open_session(self, key: Any) -> str: ...
    def resume_session(self, token: str) -> Any: ...
    def close_session(self, token: str) -> None: ...


class Publisher(Protocol):
    """Sends messages to the topic of events, each to its key's partition. Raises StoreUnavailable: nothing was sent; or
    Unconfirmed: any part of it may be there."""

    async def publish(self, messages: Sequence[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]) -> None:
        """(key, value, headers) each; returns when the brokers have all of them."""
        ...


class RecentEvents(Protocol):
    """The newest events of a project, oldest first; read back from the log. Raises StoreUnavailable."""

    async def recent(self, project: str, limit: int) -> list[Event]: ...


class Answers(Protocol):
    """Answers to writes that carried an Idempotency-Key. Blocking; raises StoreUnavailable, Conflict."""

    def begin(self, project: str, key: str, body_hash: str) -> tuple[int, str] | None: ...
    def finish(self, project: str, key: str, status: int, answer: str) -> None: ...
    def forget(self, project: str, key: str) -> None: ...


class DeadLetters(Protocol):
    """Messages that could not be counted. Raise StoreUnavailable, NotFound."""

    async def newest(
        self, which: Which, limit: int, before: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """The newest first, and the `before` of what follows. Raises InvalidDefinition for one that is none."""
        ...

    async def replay(self, which: Which) -> int:
        """Send them again; returns how many."""
        ...


class Generations(Protocol):
    """Complete countings of the log. Raise StoreUnavailable, GenerationMissing."""

    async def states(self) -> Sequence[Any]: ...
    async def switch(self, number: int) -> Any: ...


class Limits(Protocol):
    """Token buckets."""

    async def take(self, project: str, kind: str, cost: int) -> tuple[bool, int, int, float]:
        """(granted, limit, remaining, seconds until it would be granted)."""
        ...


class RequestTracer(Protocol):
    """Writes spans; never blocks, never raises."""

    def note_request(
        self, method: str, route: str, status: int, seconds: float, headers: Mapping[str, str]
    ) -> None: ...


Check = Callable[[], Awaitable[Mapping[str, str | None]]]
"""Part -> None when it answers, else what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a request may need."""

    definitions: DefinitionStore
    defining: Defining
    reporter: Reporter
    experiments: Experiments
    alerts: Alerts
    keys: Keys
    publisher: Publisher
    recent: RecentEvents
    answers: Answers
    limits: Limits
    audit: Callable[..., Sequence[Mapping[str, Any]]]
    now: Callable[[], int]
    check: Check
    pipeline: Callable[[], Awaitable[Mapping[str, Any]]]
    dead_letters: DeadLetters
    generations: Generations
    parsing: ParsingRules = field(default_factory=ParsingRules)
    cors_origins: tuple[str, ...] = ()
    failed_keys_per_minute: int = 30
    write_seconds: float = 3.0
    """How long a write may wait for the workers."""
    tracer: RequestTracer | None = None
    start: Callable[[], Awaitable[None]] | None = None
    stop: Callable[[], Awaitable[None]] | None = None
