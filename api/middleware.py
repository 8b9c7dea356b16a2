"""Around every request: an id, limits on its size and time, security headers, one line in the log. Pure ASGI."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from typing import Any

from api.problems import Problem, respond
from app import metrics

log = logging.getLogger("api.access")

MAX_BODY_BYTES = 256 * 1024
BODY_SECONDS = 10.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Edge:
    """See the module."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        begun = time.perf_counter()
        status = 500

        async def send_with_headers(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                more = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in present]
                message["headers"] = [*message["headers"], *more, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._serve(scope, receive, send_with_headers, headers)
        finally:
            seconds = time.perf_counter() - begun
            route = scope.get("route")
            path = getattr(route, "path", "(none)")
            metrics.HTTP_SECONDS.labels(path, f"{status // 100}xx").observe(seconds)
            log.info(
                "%s %s %d",
                scope["method"],
                path,
                status,
                extra={"requestId": request_id, "milliseconds": round(seconds * 1000, 1)},
            )

    async def _serve(self, scope: Any, receive: Any, send: Any, headers: dict[bytes, bytes]) -> None:
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
            await _refuse(scope, receive, send, _too_large())
            return
        received = 0

        async def receive_within_limits() -> Any:
            nonlocal received
            message = await asyncio.wait_for(receive(), BODY_SECONDS) if not received_all else await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > MAX_BODY_BYTES:
                    raise _too_large()
                if not message.get("more_body", False):
                    received_all.append(True)
            return message

        received_all: list[bool] = []
        try:
            await self._app(scope, receive_within_limits, send)
        except TimeoutError:
            await _refuse(scope, receive, send, Problem(408, "The request's body came too slowly."))


def _too_large() -> Problem:
    return Problem(413, f"The body is larger than {MAX_BODY_BYTES // 1024} KiB; send less at a time.")


async def _refuse(scope: Any, receive: Any, send: Any, problem: Problem) -> None:
    await respond(problem)(scope, receive, send)
