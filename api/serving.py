"""The HTTP server: uvicorn, with limits on what it has no limit for, and TLS when the settings name a certificate."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.middleware import HEADERS
from api.problems import Problem, body_of
from app.bootstrap import require_certificate
from config.settings import Settings

DRAIN_SECONDS = 3
HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 32 * 1024
MAX_CONNECTIONS = 5_000
WRITE_BUFFER_BYTES = 32 * 1024


class LimitedProtocol(HttpToolsProtocol):
    """Cuts off who does not send a whole request head in time or in size, and answers what is no HTTP as a problem.

    uvicorn has a time limit between two requests only: without this a thousand silent connections stay for ever.
    """

    head_seconds: ClassVar[float] = HEAD_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn itself has it
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        # What a client has not taken yet is kept here, for each of them.
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        # For event streams, which may have to cut off a client that takes nothing.
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._end(Problem(503, "Too many connections; try again in a moment."))
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and self._is_between_requests():
            self._await_head()
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        # The end of a head takes the timer away, whatever followed it in the same piece.
        if self._head_timer is not None and self._head_bytes > MAX_HEAD_BYTES:
            self._end(Problem(431, f"The request's headers are larger than {MAX_HEAD_BYTES // 1024} KiB."))

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        del msg
        self._end(Problem(400, "This is not an HTTP request that can be read.", code="invalid_http"))

    def _is_between_requests(self) -> bool:
        return self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body)

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._end(Problem(408, f"The request did not come within {self.head_seconds:g} s."))

    def _end(self, problem: Problem) -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        body = json.dumps(body_of(problem)).encode()
        headers: Mapping[str, str] = {
            **HEADERS,
            "content-type": "application/problem+json",
            "content-length": str(len(body)),
            "connection": "close",
        }
        lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
        self.transport.write(STATUS_LINE[problem.status] + lines + b"\r\n" + body)
        self.transport.close()


class _Server(uvicorn.Server):
    """Ends event streams as soon as it is asked to end; uvicorn alone would wait for their clients."""

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_exit()
        super().handle_exit(sig, frame)


def make_server(app: Any, settings: Settings, on_exit: Callable[[], None]) -> uvicorn.Server:
    """The server, not started. `on_exit` is called, from a signal handler, when it is asked to end.

    Raises InvalidSettings."""
    require_certificate(settings)
    proxies = [one.strip() for one in settings.trusted_proxies.split(",") if one.strip()]
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        loop="uvloop",
        http=LimitedProtocol,
        ws="none",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return _Server(config, on_exit)
