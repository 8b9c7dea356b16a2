"""A receiver of webhooks: it keeps what it got, and answers what it is told to."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from tests.servers.secured import Authority


@dataclass
class Receiver:
    """`answers`: the statuses of the next calls; then 200. `hangs`: it answers when `release` is set."""

    port: int = 0
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    hangs: bool = False
    release: Event = field(default_factory=Event)

    @property
    def ids(self) -> list[str]:
        return [json.loads(body)["id"] for _, _, body in self.calls]

    @property
    def last(self) -> Any:
        return json.loads(self.calls[-1][2])


@contextmanager
def receiving(authority: Authority | None = None) -> Iterator[Receiver]:
    """On 127.0.0.1; with an authority over TLS."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.calls.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            if made.hangs:
                made.release.wait(60)
            status = made.answers.pop(0) if made.answers else 200
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that http.server gives it
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Who breaks off a handshake is part of a test."""

    with Server(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_port
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.certificate_file, authority.key_file)
            # The handshake is made by the thread that serves the connection.
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield made
        made.release.set()
        server.shutdown()
        thread.join(10)
