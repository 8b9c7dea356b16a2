"""Who asks: an API key in a header, or the page's session cookie; and whether he may.

A key is looked up again after less than a second in every process, so that a revoked one ends within a second
everywhere. While the database is away, who was known a short while ago is still believed: reads go on.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from fastapi import Request
from starlette.datastructures import Headers

from api.middleware import TURNED_AWAY
from api.problems import Problem, invalid
from api.services import Key, Services
from app.domain.api_key import parse_key
from app.domain.definition_fields import repeated_parameter, unknown_parameter
from app.errors import InvalidApiKey, StoreUnavailable
from app.patience import within
from app.sharing import retrieve

SESSION_COOKIE = "scorekeeper_session"
FRESH_SECONDS = 0.8
BELIEVED_SECONDS = 300.0
"""How long a key is believed that cannot be looked up again. Nobody can revoke one in a database that is away."""
_LOOK_UP_SECONDS = 1.5
_LOOK_UP_AGAIN_SECONDS = 0.5
_FIRST_LOOK_UPS_AT_ONCE = 8
_TURN_SECONDS = 0.2
_HAS_A_TURN = "has_a_turn"
_REMEMBERED = 10_000


class Doorkeeper:
    """Finds out who asks.

    An address that fails too often is turned away without a look-up, and its request marked so, for the answer to be
    late (see refusals.py). Behind a proxy everybody may have one address: who is known already does not notice, and of
    the others one that can be a key at all is looked up every `_TURN_SECONDS` all the same.
    """

    def __init__(self, services: Services) -> None:
        self._keys = services.keys
        self._most_failures = services.failed_keys_per_minute
        self._clock = time.monotonic
        self._known: OrderedDict[str, tuple[float, Key]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Key]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """By address; each lives as long as somebody waits for it."""
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._next_turn: dict[str, float] = {}
        """When the next one of an address that fails too often is looked up; of those in `_failures`."""

    def gate(self, scope: Any) -> None:
        """Before anything else is done for a request: an address that fails too often is refused, unless its key is
        known or has its turn. Raises Problem(429)."""
        if not self._failures or self._seconds_to_wait(address_of(scope)) <= 0:
            return
        text = _header_key(Headers(scope=scope))
        if text is not None and _mark(text, is_session=False) not in self._known:
            self._refuse_failing(scope, text)

    async def identify(self, request: Request) -> Key:
        """Raises InvalidApiKey, Problem(429), StoreUnavailable."""
        text = _header_key(request.headers)
        token = request.cookies.get(SESSION_COOKIE)
        if text is None and token is None:
            raise InvalidApiKey("send your API key in the header x-api-key (or Authorization: Bearer)")
        if text is not None:
            return await self.admit(request, text)
        return await self._admit(request.scope, token or "", is_session=True)

    async def admit(self, request: Request, text: str) -> Key:
        """Whose API key this is. Raises like `identify`."""
        return await self._admit(request.scope, text, is_session=False)

    async def _admit(self, scope: Any, secret: str, *, is_session: bool) -> Key:
        mark = _mark(secret, is_session=is_session)
        now = self._clock()
        known = self._known.get(mark)
        if known is not None and now - known[0] < FRESH_SECONDS:
            return known[1]
        if known is None:
            self._refuse_failing(scope, secret)
        try:
            if not is_session:
                parse_key(secret)
            if known is None:
                first = self._look_up_first(scope, mark, secret, is_session=is_session)
                key = await within(_LOOK_UP_SECONDS, "sql", first)
            else:
                key = await within(_LOOK_UP_AGAIN_SECONDS, "sql", self._look_up(mark, secret, is_session=is_session))
        except InvalidApiKey:
            self._known.pop(mark, None)
            self._note_failure(address_of(scope))
            raise
        except StoreUnavailable:
            if known is not None and now - known[0] < BELIEVED_SECONDS:
                return known[1]
            raise
        # From before the look-up: what was read is as old as that.
        self._known[mark] = (now, key)
        self._known.move_to_end(mark)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return key

    async def _look_up_first(self, scope: Any, mark: str, secret: str, *, is_session: bool) -> Key:
        """Of one that is not known. Few at a time from an address: so many fail of a flood that begins at once, and the
        others are turned away, before looking all of them up takes too long, which is nobody's failure."""
        address = address_of(scope)
        turns = self._turns.get(address)
        if turns is None:
            turns = self._turns[address] = asyncio.Semaphore(_FIRST_LOOK_UPS_AT_ONCE)
        async with turns:
            known = self._known.get(mark)
            if known is not None and self._clock() - known[0] < FRESH_SECONDS:
                return known[1]
            self._refuse_failing(scope, secret)
            return await self._look_up(mark, secret, is_session=is_session)

    async def _look_up(self, mark: str, secret: str, *, is_session: bool) -> Key:
        """One look-up a key at a time, whatever the number of requests that wait for it."""
        asking = self._asking.get(mark)
        if asking is None:
            ask = self._keys.resume_session if is_session else self._keys.authenticate
            asking = asyncio.create_task(within(_LOOK_UP_SECONDS, "sql", asyncio.to_thread(ask, secret)))
            self._asking[mark] = asking
            asking.add_done_callback(lambda _: self._asking.pop(mark, None))
            asking.add_done_callback(retrieve)
        return await asyncio.shield(asking)

    def _note_failure(self, address: str) -> None:
        if not self._most_failures:
            return
        failures = self._failures.setdefault(address, [])
        failures.append(self._clock())
        del failures[: -self._most_failures]
        self._failures.move_to_end(address)
        self._next_turn[address] = self._clock() + _TURN_SECONDS
        while len(self._failures) > _REMEMBERED:
            forgotten, _ = self._failures.popitem(last=False)
            del self._next_turn[forgotten]

    def _seconds_to_wait(self, address: str) -> float:
        failures = self._failures.get(address, [])
        if not self._most_failures or len(failures) < self._most_failures:
            return 0.0
        return 60.0 - (self._clock() - failures[0])

    def _has_a_turn(self, scope: Any, secret: str) -> bool:
        """Whether the request is one of the few that are looked up although their address fails too often."""
        state, address, now = scope["state"], address_of(scope), self._clock()
        if _HAS_A_TURN not in state and now >= self._next_turn[address] and _can_be_a_key(secret):
            self._next_turn[address] = now + _TURN_SECONDS
            state[_HAS_A_TURN] = True
        return _HAS_A_TURN in state

    def _refuse_failing(self, scope: Any, secret: str) -> None:
        wait = self._seconds_to_wait(address_of(scope))
        if wait <= 0 or self._has_a_turn(scope, secret):
            return
        scope["state"][TURNED_AWAY] = True
        headers = {"Retry-After": str(int(wait) + 1)}
        raise Problem(429, "Too many wrong API keys from your address.", code="too_many_failures", headers=headers)

    def forget(self) -> None:
        """Look every key up again (after a sign-out)."""
        self._known.clear()


def _mark(secret: str, *, is_session: bool) -> str:
    """What a key or a session is remembered by: never kept in the clear, not even in memory."""
    return hashlib.sha256(f"{is_session}\0{secret}".encode()).hexdigest()


def _can_be_a_key(text: str) -> bool:
    try:
        parse_key(text)
    except InvalidApiKey:
        return False
    return True


def address_of(scope: Any) -> str:
    """Who is held responsible: an IPv4 address, or the network of an IPv6 one, whose owner has all addresses in it."""
    return _responsible_for(str(scope["client"][0])) if scope.get("client") else "?"


@lru_cache(maxsize=_REMEMBERED)
def _responsible_for(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return address.exploded[:19]
    return host


def _header_key(headers: Headers) -> str | None:
    given = headers.get("x-api-key")
    if given is not None:
        return given.strip()
    scheme, _, text = headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" and text.strip() else None


def services_of(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


def doorkeeper_of(request: Request) -> Doorkeeper:
    found: Doorkeeper = request.app.state.doorkeeper
    return found


class Needs:
    """A dependency: the key that asks, which needs `scope`, within its project's rate limit of `kind`. What the
    address asks for and the route does not have, or asks for twice, is refused here too: an answer without that filter
    would be wrong."""

    def __init__(self, scope: str, kind: str) -> None:
        self._scope = scope
        self._kind = kind

    async def __call__(self, request: Request) -> Key:
        key = await doorkeeper_of(request).identify(request)
        if not key.may(self._scope):
            raise Problem(403, f"This API key lacks the scope {self._scope!r}.", code="missing_scope")
        is_session = _header_key(request.headers) is None
        if is_session and request.method not in {"GET", "HEAD", "OPTIONS"}:
            refuse_foreign_page(request)
        # The dashboard's reads have a bucket of their own: an open page and a script do not take from each other.
        kind = "page_reads" if is_session and self._kind == "reads" else self._kind
        await limit(request, key, kind, 1)
        request.state.key = key
        _refuse_parameters(request)
        return key


def _refuse_parameters(request: Request) -> None:
    if not request.query_params:
        return
    names = [parameter.alias for parameter in request.scope["route"].dependant.query_params]
    unknown = [name for name in request.query_params if name not in names]
    if unknown:
        raise invalid([unknown_parameter(name, names) for name in unknown])
    repeated = [name for name in request.query_params if len(request.query_params.getlist(name)) > 1]
    if repeated:
        raise invalid([repeated_parameter(name, request.query_params.getlist(name)) for name in repeated])


async def limit(request: Request, key: Key, kind: str, cost: int) -> None:
    """Take `cost` from the project's bucket, or answer 429."""
    granted, most, remaining, wait = await services_of(request).limits.take(key.project, kind, cost)
    if most <= 0:
        return
    seconds = int(wait) + 1
    headers = {
        "RateLimit": f'"{kind}";r={remaining};t={seconds}',
        "RateLimit-Policy": f'"{kind}";q={most};w=60',
    }
    request.state.limit_headers = headers
    if not granted:
        detail = f"More than {most} {kind.replace('_', ' ')} a minute; try again in {seconds} s."
        raise Problem(429, detail, headers={"Retry-After": str(seconds), **headers})


def refuse_foreign_page(request: Request) -> None:
    """What another site's page sent, with a session or for one. The session's cookie is SameSite=Strict already; this
    holds without it, in browsers that say where a request comes from by either of the two headers."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    is_ours = origin is None or _host_of(origin) == request.headers.get("host", "")
    if site not in {"same-origin", "none"} or not is_ours:
        raise Problem(403, "Only this site's own pages may do this with a session.", code="foreign_page")


def _host_of(origin: str) -> str | None:
    """None for what is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


READ: Any = Needs("read", "reads")
WRITE: Any = Needs("write", "writes")
INGEST: Any = Needs("ingest", "events")
ADMIN: Any = Needs("admin", "reads")
