"""Addresses of Redis: which are understood, and how a wrong one is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.embedded.ports import is_listening
from app.embedded.process import ChildProcess
from app.errors import InvalidSettings, StoreUnavailable
from app.stores.redis_client import as_store_errors, connect
from app.stores.redis_sentinel import SentinelAddress, read_address
from tests.servers.ports import free_port
from tests.servers.redises import READY_SECONDS, RedisServer, redis_binary


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://h:port", "redis://[user:password@]host:port"),
        ("redis://[::1", "redis://[user:password@]host:port"),
        ("redis://user:my/secret@h", "percent-encoded"),
        ("rediss+cluster://h:port", "rediss+cluster://[user:password@]host:port"),
        ("redis+cluster://", "redis+cluster://[user:password@]host:port"),
        ("redis+cluster://h?secret=1", "redis+cluster://[user:password@]host:port"),
        ("redis+sentinel://a:26379,b:port/svc", "host:port[,host:port]/service"),
        ("redis+sentinel:///svc", "host:port[,host:port]/service"),
        ("redis+sentinel://a,/svc", "host:port[,host:port]/service"),
        ("redis+sentinel://a/svc/zero", "host:port[,host:port]/service"),
        ("redis+sentinel://a/svc?password=secret", "host:port[,host:port]/service"),
        ("http://h", "no scheme that we know"),
        ("secret", "no scheme that we know"),
    ],
)
def test_a_wrong_address_names_the_setting_and_repeats_no_password(url: str, said: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        connect(url, name="test")
    assert "SCOREKEEPER_REDIS" in str(caught.value)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis+sentinel://h", SentinelAddress((("h", 26379),), sign_in={"db": 0})),
        (
            "redis+sentinel://a:1,b,[::1]:3/svc/2",
            SentinelAddress((("a", 1), ("b", 26379), ("::1", 3)), "svc", {"db": 2}),
        ),
        (
            "redis+sentinel://:p%40w@h/svc",
            SentinelAddress((("h", 26379),), "svc", {"db": 0, "password": "p@w"}),
        ),
        (
            "rediss+sentinel://me:pw@h/svc?sentinel_username=you&sentinel_password=s%2Fe&ssl_ca_certs=/ca.pem",
            SentinelAddress(
                (("h", 26379),),
                "svc",
                {"db": 0, "username": "me", "password": "pw"},
                {"username": "you", "password": "s/e"},
                {"ssl": True, "ssl_ca_certs": "/ca.pem"},
            ),
        ),
    ],
)
def test_sentinels_are_named_with_commas_and_who_signs_in_to_what(url: str, address: SentinelAddress) -> None:
    assert read_address(url) == address


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RedisServer, int]]:
    """A Redis with a password, and the port of a sentinel that has another and watches it."""
    master = RedisServer(tmp_path / "master", requirepass="one")
    port = free_port()
    file = tmp_path / "sentinel.conf"
    file.write_text(
        f"bind 127.0.0.1\nport {port}\nrequirepass other\n"
        f"sentinel monitor svc 127.0.0.1 {master.port} 1\nsentinel auth-pass svc one\n"
    )
    command = [redis_binary(), str(file), "--sentinel"]
    sentinel = ChildProcess("the sentinel", command, tmp_path / "sentinel.log")
    sentinel.wait_until(lambda: is_listening(port), READY_SECONDS)
    yield master, port
    sentinel.stop()
    master.stop()


async def test_the_master_is_found_by_the_sentinel_that_answers(servers: tuple[RedisServer, int]) -> None:
    master, port = servers
    url = f"redis+sentinel://:one@127.0.0.1:{free_port()},127.0.0.1:{port}/svc?sentinel_password=other"
    client = connect(url, name="test", timeout_seconds=60)
    try:
        about = await client.info("server")
        assert about["tcp_port"] == master.port
    finally:
        await client.aclose()


async def test_a_master_that_no_sentinel_knows_is_told_in_a_sentence() -> None:
    client = connect(f"redis+sentinel://127.0.0.1:{free_port()}/svc", name="test", timeout_seconds=60)
    try:
        with pytest.raises(StoreUnavailable) as caught, as_store_errors():
            await client.ping()
        assert caught.value.cause == "MasterNotFoundError: no sentinel answers with a master for 'svc'"
    finally:
        await client.aclose()
