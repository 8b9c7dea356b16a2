"""Around every request: an id, limits on its size and time, security headers, one line in the log. Pure ASGI.

The outermost layer of ours: nothing that is raised below leaves it, so that every answer has the same headers and
every error the same shape.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from api.problems import Problem, respond, to_problem
from api.refusals import LateAnswers
from api.services import RequestTracer
from app import metrics

log = logging.getLogger("api.access")
TURNED_AWAY = "turned_away"
"""In a request's state: it came from an address that fails too often."""
turned_away = log.getChild("turned_away")
"""There may be thousands a second, and a line each would cost more than the answer: limited like complaints."""

MAX_BODY_BYTES = 256 * 1024
BODY_SECONDS = 10.0
"""For the whole body: a client that sends a byte now and then is cut off like one that sends nothing."""
ANSWER_SECONDS = 1.9
"""For the answer's first byte, when the body is there. Only stores that hang take that long."""
_QUESTIONS = ("/preview", "/explain", "/validate")
"""What paths of calls end in that send a body and change nothing."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
"""Unless the answer says otherwise itself."""
_STRICT_TRANSPORT = ("strict-transport-security", "max-age=31536000")


class Edge:
    """`write_seconds`: what a change of definitions may take beyond ANSWER_SECONDS, waiting for the workers.
    `origins`: pages of other sites that may read the answers, those too that are given here. `gate` may refuse a
    request by its head. `late` has the answers wait to those who are turned away. `tracer` is told of each answer."""

    def __init__(
        self,
        app: Any,
        *,
        write_seconds: float = 3.0,
        origins: Sequence[str] = (),
        late: LateAnswers,
        gate: Callable[[Any], None] | None = None,
        tracer: RequestTracer | None = None,
    ) -> None:
        self._app = app
        self._tracer = tracer
        self._gate = gate
        self._late = late
        self._write_seconds = write_seconds
        self._origins = frozenset(origins)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        exchange = _Exchange(scope, send, request_id, self._late)
        scope.setdefault("state", {})["request_id"] = exchange.request_id
        begun = time.perf_counter()
        try:
            await self._serve(exchange, receive)
        finally:
            exchange.note(time.perf_counter() - begun, self._tracer)

    async def _serve(self, exchange: _Exchange, receive: Any) -> None:
        scope = exchange.scope
        answer_seconds = ANSWER_SECONDS
        if scope["method"] not in {"GET", "HEAD", "OPTIONS"} and not scope["path"].endswith(_QUESTIONS):
            answer_seconds += self._write_seconds
        if scope["method"] == "HEAD":
            # As GET; the server leaves the body out.
            exchange.scope = scope = {**scope, "method": "GET"}
        body = _Body(scope, receive)
        deadline = asyncio.timeout(None)
        loop = asyncio.get_running_loop()
        begun = loop.time()

        def allow(seconds: float) -> None:
            deadline.reschedule(loop.time() + seconds)

        exchange.on_start = lambda: deadline.reschedule(None)

        def answer_from_now_on() -> None:
            # What was done before the body was asked for, looking up the key, is part of the answer's time.
            if not exchange.is_started:
                allow(answer_seconds - (body.asked_at - begun))

        body.on_complete = answer_from_now_on
        try:
            async with deadline:
                allow(BODY_SECONDS if body.is_expected else answer_seconds)
                if self._gate is not None:
                    self._gate(scope)
                body.refuse_declared()
                await self._app(scope, body.receive, exchange.send)
        except Exception as error:  # noqa: BLE001  # whatever it is, it becomes an answer
            is_late = deadline.expired()
            body_is_missing = body.is_expected and not body.is_complete
            problem = _late(body_is_missing=body_is_missing) if is_late else to_problem(error, exchange.request_id)
            if exchange.is_started:
                return  # the server sees an answer without an end, and closes the connection
            exchange.on_start = lambda: None
            if body_is_missing:
                problem.headers.setdefault("Connection", "close")
            origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
            if origin in self._origins:
                problem.headers |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
            await respond(problem)(scope, receive, exchange.send)
        finally:
            # Circles, which would keep the whole request in memory until the collector comes by.
            exchange.on_start = body.on_complete = None


class _Exchange:
    """One request and its answer's beginning."""

    def __init__(self, scope: Any, send: Any, request_id: str, late: LateAnswers) -> None:
        self._late = late
        self.scope = scope
        self.request_id = request_id
        self.is_started = False
        self.on_start: Any = None
        self._method = scope["method"]
        self._send = send
        self._status = 0

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.is_started = True
            self._status = message["status"]
            self.on_start()
            if TURNED_AWAY in self.scope["state"] and not await self._late.wait_for_turn():
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            present = {name.lower() for name, _ in message["headers"]}
            more = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in present]
            if self.scope["scheme"] == "https":
                more.append((_STRICT_TRANSPORT[0].encode(), _STRICT_TRANSPORT[1].encode()))
            message["headers"] = [*message["headers"], *more, (b"x-request-id", self.request_id.encode())]
        await self._send(message)

    def note(self, seconds: float, tracer: RequestTracer | None) -> None:
        """Count, log and trace the answer; a status of 0 means that the client went away before it."""
        path = getattr(self.scope.get("route"), "path", "(none)")
        metrics.HTTP_SECONDS.labels(path, f"{self._status // 100}xx").observe(seconds)
        key = self.scope["state"].get("key")
        fields = {
            "requestId": self.request_id,
            "method": self._method,
            "route": path,
            "status": self._status,
            "milliseconds": round(seconds * 1000, 1),
            "address": self.scope["client"][0] if self.scope.get("client") else None,
            "project": getattr(key, "project", None),
            "keyId": getattr(key, "id", None),
        }
        (turned_away if TURNED_AWAY in self.scope["state"] else log).info(
            "%s %s %d", self._method, path, self._status, extra={"fields": fields}
        )
        if tracer is not None:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}
            tracer.note_request(self._method, path, self._status, seconds, headers)


class _Body:
    """The request's body, read within its limit."""

    def __init__(self, scope: Any, receive: Any) -> None:
        headers = dict(scope["headers"])
        self._declared = headers.get(b"content-length", b"0")
        self.is_expected = b"transfer-encoding" in headers or self._declared != b"0"
        self.is_complete = False
        self.asked_at = 0.0
        self.on_complete: Any = None
        self._receive = receive
        self._received = 0

    def refuse_declared(self) -> None:
        """Raises Problem(413) before anything is read."""
        if self._declared.isdigit() and int(self._declared[:20]) > MAX_BODY_BYTES:
            raise _too_large()

    async def receive(self) -> Any:
        self.asked_at = self.asked_at or asyncio.get_running_loop().time()
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > MAX_BODY_BYTES:
                raise _too_large()
            if not message.get("more_body", False) and not self.is_complete:
                self.is_complete = True
                self.on_complete()
        return message


def _too_large() -> Problem:
    return Problem(413, f"The body is larger than {MAX_BODY_BYTES // 1024} KiB; send less at a time.")


def _late(*, body_is_missing: bool) -> Problem:
    if body_is_missing:
        return Problem(408, f"The request's body did not come within {BODY_SECONDS:g} s.")
    return Problem(503, "A part that this request needs does not answer; try again in a moment.")
