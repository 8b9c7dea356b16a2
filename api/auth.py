"""Who asks: an API key in a header, or the page's session cookie; and whether he may.

A key is looked up at most once a second per process, so that a revoked one ends within a second everywhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from typing import Any

from fastapi import Request

from api.problems import Problem
from api.services import Key, Services
from app.errors import InvalidApiKey

SESSION_COOKIE = "scorekeeper_session"
_REMEMBERED_SECONDS = 1.0
_REMEMBERED = 10_000
_FAILURES_PER_MINUTE = 30


class Doorkeeper:
    """Finds out who asks. Remembers answers for a second, and addresses that fail too often for a minute."""

    def __init__(self, services: Services) -> None:
        self._keys = services.keys
        self._known: OrderedDict[str, tuple[float, Key]] = OrderedDict()
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    async def identify(self, request: Request) -> Key:
        """Raises InvalidApiKey, Problem(429), StoreUnavailable."""
        address = request.client.host if request.client else "?"
        text = _header_key(request)
        token = request.cookies.get(SESSION_COOKIE)
        if text is None and token is None:
            raise InvalidApiKey("send your API key in the header x-api-key (or Authorization: Bearer)")
        # Never kept in the clear, not even in memory.
        mark = hashlib.sha256(f"{text or ''}\0{'' if text else token}".encode()).hexdigest()
        known = self._known.get(mark)
        if known is not None and time.monotonic() - known[0] < _REMEMBERED_SECONDS:
            return known[1]
        self._refuse_failing(address)
        try:
            key: Key = await asyncio.to_thread(
                self._keys.authenticate if text else self._keys.resume_session, text or token or ""
            )
        except InvalidApiKey:
            self._failures.setdefault(address, []).append(time.monotonic())
            while len(self._failures) > _REMEMBERED:
                self._failures.popitem(last=False)
            raise
        self._known[mark] = (time.monotonic(), key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return key

    def _refuse_failing(self, address: str) -> None:
        recent = [at for at in self._failures.get(address, ()) if time.monotonic() - at < 60]
        if recent:
            self._failures[address] = recent
        if len(recent) >= _FAILURES_PER_MINUTE:
            wait = max(1, int(60 - (time.monotonic() - recent[0])) + 1)
            raise Problem(429, "Too many wrong API keys from your address.", headers={"Retry-After": str(wait)})

    def forget(self) -> None:
        """Look every key up again (after a sign-out)."""
        self._known.clear()


def _header_key(request: Request) -> str | None:
    given = request.headers.get("x-api-key")
    if given is not None:
        return given.strip()
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" and text.strip() else None


def services_of(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


def doorkeeper_of(request: Request) -> Doorkeeper:
    found: Doorkeeper = request.app.state.doorkeeper
    return found


class Needs:
    """A dependency: the key that asks, which needs `scope`, within its project's rate limit of `kind`."""

    def __init__(self, scope: str, kind: str) -> None:
        self._scope = scope
        self._kind = kind

    async def __call__(self, request: Request) -> Key:
        key = await doorkeeper_of(request).identify(request)
        if not key.may(self._scope):
            raise Problem(403, f"This API key lacks the scope {self._scope!r}.", code="missing_scope")
        if request.method not in {"GET", "HEAD", "OPTIONS"}:
            _refuse_foreign_page(request)
        await limit(request, key, self._kind, 1)
        request.state.key = key
        return key


async def limit(request: Request, key: Key, kind: str, cost: int) -> None:
    """Take `cost` from the project's bucket, or answer 429."""
    granted, most, remaining, wait = await services_of(request).limits.take(key.project, kind, cost)
    headers = {"RateLimit": f'"{kind}";r={remaining};t={int(wait) + 1}', "RateLimit-Policy": f'"{kind}";q={most};w=60'}
    request.state.limit_headers = headers
    if not granted:
        retry = {"Retry-After": str(int(wait) + 1), **headers}
        raise Problem(429, f"More than {most} {kind} a minute; try again in {int(wait) + 1} s.", headers=retry)


def _refuse_foreign_page(request: Request) -> None:
    """A session cookie is only good for requests of our own pages."""
    if _header_key(request) is None and request.headers.get("sec-fetch-site", "same-origin") not in {
        "same-origin",
        "none",
    }:
        raise Problem(403, "A session may only be used by this site's own pages.", code="foreign_page")


READ: Any = Needs("read", "reads")
WRITE: Any = Needs("write", "writes")
INGEST: Any = Needs("ingest", "events")
ADMIN: Any = Needs("admin", "reads")
