"""The server on a real socket: who sends slowly, too much or no HTTP is cut off; TLS by settings."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from api import serving
from api.middleware import Edge
from api.refusals import LateAnswers
from api.serving import LimitedProtocol, make_server
from config.settings import Settings


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@asynccontextmanager
async def serving_on(app: Any = hello, **settings: Any) -> AsyncIterator[int]:
    """The port."""
    server = make_server(Edge(app, late=LateAnswers()), Settings(port=0, **settings), lambda: None)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:  # uvicorn has a flag and no event
            assert not task.done(), "the server did not start"
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def everything(port: int, *pieces: bytes) -> bytes:
    """What the server sends until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
        async with asyncio.timeout(30):
            return await reader.read()
    finally:
        writer.close()


async def test_a_client_that_never_finishes_its_head_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LimitedProtocol, "head_seconds", 0.3)
    async with serving_on() as port:
        silent, unfinished = await asyncio.gather(
            everything(port), everything(port, b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ")
        )
        assert silent.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in unfinished
        assert b'"code": "too_slow"' in unfinished

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await reader.readuntil(b"hi")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"GET / HT")
        async with asyncio.timeout(30):
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_headers_have_a_limit() -> None:
    async with serving_on() as port:
        answer = await everything(port, b"GET / HTTP/1.1\r\nhost: a\r\n", b"x: " + b"a" * 2 * serving.MAX_HEAD_BYTES)
        assert answer.startswith(b"HTTP/1.1 431 ")


async def test_what_is_no_http_is_told_so_as_a_problem() -> None:
    async with serving_on() as port:
        answer = await everything(port, b"\x16\x03\x01 hello\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'"code": "invalid_http"' in answer


async def test_more_connections_than_can_be_served_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 1)
    async with serving_on() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await everything(port)).startswith(b"HTTP/1.1 503 ")
        writer.close()


async def test_with_a_certificate_it_speaks_https_alone(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for part in certificate.cert_chain_pems:
        part.write_to_path(str(tmp_path / "chain.pem"), append=True)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serving_on(tls_certificate=tmp_path / "chain.pem", tls_key=tmp_path / "key.pem") as port:
        async with httpx.AsyncClient(verify=trusting, base_url=f"https://localhost:{port}") as client:
            answer = await client.get("/")
            assert answer.text == "hi"
            assert answer.headers["strict-transport-security"]
        with pytest.raises(httpx.HTTPError):
            async with httpx.AsyncClient() as plain:
                await plain.get(f"http://localhost:{port}/")


async def test_only_named_proxies_are_believed() -> None:
    seen: list[str] = []

    async def note(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append(scope["client"][0])
        await hello(scope, receive, send)

    for proxies in ("", "127.0.0.1"):
        async with serving_on(note, trusted_proxies=proxies) as port, httpx.AsyncClient() as client:
            await client.get(f"http://127.0.0.1:{port}/", headers={"x-forwarded-for": "203.0.113.9"})
    assert seen == ["127.0.0.1", "203.0.113.9"]
