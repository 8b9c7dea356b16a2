"""Alerts: looks at goals as every reader sees them, writes down what is to be told, and sends it until it arrives.

Any number of processes may look and send at once, and each may die at any point. What a look found is stored from the
state that it read, together with the deliveries, or not at all: so a change is told once. A delivery is taken for a
while; whoever dies with it leaves it to the next one, with the same id, by which a receiver knows a repetition.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from app.domain.alerting import Alert, AlertStatus, Seen, Told, compile_alert, is_another_rule, look, sample
from app.domain.definition_fields import without_nulls
from app.domain.deliveries import Attempt, Delivery, StoredAlert, Taken
from app.domain.moments import rfc3339
from app.errors import ChangedMeanwhile, InvalidDefinition
from app.ids import id_for, new_id
from app.metrics import ALERT_ATTEMPTS
from app.patience import REST, ProjectTurns, ask_sql, keep_doing
from app.reporting import Reporter

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
_COMPLAINT = "no alert is looked at"
SEND_SECONDS = 1.0
AT_ONCE = 20
FIRST_PAUSE_MS = 10_000
LONGEST_PAUSE_MS = 3_600_000
KEEP_TRYING_MS = 86_400_000
"""From when it was made; then a delivery is given up."""


class AlertStore(Protocol):
    """Blocking. Raises StoreUnavailable; NotFound for another project's or none."""

    def create(
        self, project: str, ident: str, secret: str, body: Mapping[str, Any], actor: str
    ) -> tuple[StoredAlert, str]: ...
    def list(self, project: str) -> Sequence[StoredAlert]: ...
    def get(self, project: str, ident: str) -> StoredAlert: ...
    def edit(
        self, project: str, ident: str, change: Callable[[StoredAlert], tuple[Mapping[str, Any], bool]], actor: str
    ) -> StoredAlert: ...
    def delete(self, project: str, ident: str, actor: str) -> None: ...
    def all(self) -> Sequence[StoredAlert]: ...
    def tell(self, alert: StoredAlert, told: Mapping[str, Told], deliveries: Sequence[tuple[str, str]]) -> bool: ...
    def deliveries(self, project: str, ident: str, limit: int) -> Sequence[Delivery]: ...
    def delivery(self, alert: str, ident: str) -> Delivery | None: ...
    def last_deliveries(self, project: str) -> Mapping[str, Delivery]: ...
    def take(self, limit: int) -> Sequence[Taken]: ...
    def finish(self, taken: Taken, attempt: Attempt, pause_ms: int | None) -> None: ...


class Webhook(Protocol):
    """Calls an address once; what the other side does is told in the attempt, and raises nothing."""

    async def call(self, url: str, secret: str, delivery: str, body: bytes) -> Attempt: ...


class Alerts:
    """What the API does with alerts. Coroutines; raise InvalidDefinition, NotFound, Conflict, StoreUnavailable."""

    def __init__(self, store: AlertStore, *, allow_private: bool) -> None:
        self._store = store
        self._allow_private = allow_private

    async def create(
        self, project: str, body: Mapping[str, Any], actor: str, *, asked_as: str | None = None
    ) -> tuple[StoredAlert, str]:
        """And its secret, which is shown this once. What is asked for again under the same name, `asked_as`, is created
        once, and has its first secret."""
        compile_alert(body, allow_private=self._allow_private)
        ident, stored = id_for("alert", project, asked_as), without_nulls(body)
        return await ask_sql(self._store.create, project, ident, new_secret(), stored, actor)

    async def list(self, project: str) -> Sequence[StoredAlert]:
        return await ask_sql(self._store.list, project)

    async def last_deliveries(self, project: str) -> Mapping[str, Delivery]:
        """The newest of each alert that has one, by the alert's id."""
        return await ask_sql(self._store.last_deliveries, project)

    async def get(self, project: str, ident: str) -> StoredAlert:
        return await ask_sql(self._store.get, project, ident)

    async def edit(
        self, project: str, ident: str, changes: Mapping[str, Any], actor: str, *, edition: str | None = None
    ) -> StoredAlert:
        """`changes` replaces the fields that it names; null takes an optional one away. Raises ChangedMeanwhile where
        it is of another `edition` than the one given."""

        def change(before: StoredAlert) -> tuple[Mapping[str, Any], bool]:
            if edition not in {None, edition_of(before)}:
                raise ChangedMeanwhile("it was changed meanwhile; read it again")
            body = {**before.body, **changes}
            compile_alert(body, allow_private=self._allow_private)
            return without_nulls(body), is_another_rule(before.body, body)

        return await ask_sql(self._store.edit, project, ident, change, actor)

    async def delete(self, project: str, ident: str, actor: str) -> None:
        await ask_sql(self._store.delete, project, ident, actor)

    async def test(self, project: str, ident: str, now: int, *, asked_as: str | None = None) -> Delivery:
        """Send a sample, like everything else. What is asked for again under the same name, `asked_as`, is one
        message."""
        delivery = id_for("dlv", project, None if asked_as is None else f"{ident} {asked_as}")
        while True:
            alert = await ask_sql(self._store.get, project, ident)
            stored = await ask_sql(self._store.delivery, ident, delivery)
            if stored is not None:
                return stored
            rule = compile_alert(alert.body, allow_private=True)
            message = _message(delivery, alert, rule, sample(rule), now)
            # Whoever looks at the same time is first; then once more from what he stored.
            await ask_sql(self._store.tell, alert, alert.told, [message])

    async def deliveries(self, project: str, ident: str, limit: int) -> Sequence[Delivery]:
        """Newest first."""
        return await ask_sql(self._store.deliveries, project, ident, limit)


class Alerting:
    """Looks, and sends. `first_pause_ms` is there for tests."""

    def __init__(
        self,
        store: AlertStore,
        reporter: Reporter,
        webhook: Webhook,
        now: Callable[[], int],
        *,
        first_pause_ms: int = FIRST_PAUSE_MS,
    ) -> None:
        self._store = store
        self._reporter = reporter
        self._webhook = webhook
        self._now = now
        self._first_pause_ms = first_pause_ms
        self._turns = ProjectTurns(_COMPLAINT)

    async def look(self) -> int:
        """Look once at every project with alerts; how many deliveries were written. Raises ScorekeeperError, after all
        that can be looked at."""
        by_project: dict[str, list[StoredAlert]] = {}
        for alert in await asyncio.to_thread(self._store.all):
            by_project.setdefault(alert.project, []).append(alert)

        async def look_at(project: str) -> int:
            seen = await self._see(project)
            return sum([await self._look(alert, seen) for alert in by_project[project]])

        return await self._turns.give(by_project, look_at)

    async def _see(self, project: str) -> Seen:
        report = await self._reporter.list_goals(project, self._now())
        is_known = not report.is_stale and not report.is_rebuilding
        return Seen(report.items if is_known else None, report.fresh_as_of)

    async def _look(self, alert: StoredAlert, seen: Seen) -> int:
        now = self._now()
        rule = _rule(alert)
        if rule is None or rule.status is AlertStatus.PAUSED:
            return 0
        told, notices = look(rule, alert.told, seen, now)
        if told == alert.told:
            return 0
        messages = [_message(new_id("dlv"), alert, rule, notice, now) for notice in notices]
        return len(messages) if await asyncio.to_thread(self._store.tell, alert, told, messages) else 0

    async def send(self) -> int:
        """Send what is due, once; how many were tried. Raises StoreUnavailable."""
        taken = await asyncio.to_thread(self._store.take, AT_ONCE)
        done = await asyncio.gather(*(self._send(one) for one in taken), return_exceptions=True)
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure
        return len(taken)

    async def _send(self, taken: Taken) -> None:
        delivery = taken.delivery
        attempt = await self._webhook.call(taken.url, taken.secret, delivery.id, delivery.body.encode())
        pause: int | None = None
        if attempt.error:
            pause = min(self._first_pause_ms << min(delivery.attempts - 1, 20), LONGEST_PAUSE_MS)
            # Not all at the same moment when a receiver comes back.
            pause += random.randrange(pause // 4 + 1)  # noqa: S311  # no secret
            if taken.age_ms + pause > KEEP_TRYING_MS:
                pause = None
                log.warning(
                    "an alert is given up", extra={"fields": {"delivery": delivery.id, "alert": delivery.alert}}
                )
        await asyncio.to_thread(self._store.finish, taken, attempt, pause)
        ALERT_ATTEMPTS.labels("delivered" if not attempt.error else "given_up" if pause is None else "failed").inc()

    async def keep_looking(self) -> None:
        await keep_doing(_COMPLAINT, LOOK_SECONDS, self.look, rest=REST)

    async def keep_sending(self) -> None:
        await keep_doing("no alert is sent", SEND_SECONDS, self.send)


def new_secret() -> str:
    """What an alert's messages are signed with."""
    return f"whsec_{secrets.token_hex(32)}"


def edition_of(alert: StoredAlert) -> str:
    """Another one after each edit. Not the version: what an alert tells raises that."""
    return hashlib.blake2b(json.dumps(alert.body, sort_keys=True).encode(), digest_size=12).hexdigest()


def _rule(alert: StoredAlert) -> Alert | None:
    """None for one that cannot be read: it must not stop the others. Whether its address is allowed is asked when it
    is sent."""
    try:
        return compile_alert(alert.body, allow_private=True)
    except InvalidDefinition:
        return None


def _message(ident: str, alert: StoredAlert, rule: Alert, notice: Mapping[str, Any], now: int) -> tuple[str, str]:
    """(id, body) of a delivery."""
    body = {
        "id": ident,
        "alertId": alert.id,
        "alert": rule.name,
        "project": alert.project,
        "when": str(rule.when),
        "at": rfc3339(now),
        **notice,
    }
    return ident, json.dumps(body, ensure_ascii=False)
