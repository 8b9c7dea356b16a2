"""The embedded broker and Redis start, answer on the loopback address alone, and leave nothing behind."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from app.embedded.broker import start_broker
from app.embedded.ports import HeldPort, is_listening, require_free
from app.embedded.process import ChildProcess
from app.embedded.redis import start_redis
from app.errors import EmbeddedUnavailable, InvalidSettings
from app.streams.topics import Topics
from tests.servers.ports import free_port


def test_the_broker_creates_topics_and_gives_them_an_identity(tmp_path: Path) -> None:
    broker = start_broker(tmp_path, free_port())
    try:
        topics = Topics(broker.bootstrap)
        assert topics.create("events", 3)
        (description,) = topics.describe(["events"])
        assert description.partitions == 3
        assert description.incarnation
    finally:
        broker.stop()
    assert not broker.is_running()


def test_redis_keeps_what_it_was_told_over_a_restart(tmp_path: Path) -> None:
    first = start_redis(tmp_path, free_port())
    with redis.Redis.from_url(first.url) as client:
        client.set("kept", "yes")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    first.stop()
    second = start_redis(tmp_path, free_port())
    try:
        with redis.Redis.from_url(second.url) as client:
            assert client.get("kept") == b"yes"
    finally:
        second.stop()


def test_a_taken_port_is_named_with_the_setting_that_changes_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedUnavailable, match=rf"port {port} is in use: .* SCOREKEEPER_PORT"):
            require_free(port, "127.0.0.1")


HOLDS = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a server in beside who holds its port")


@HOLDS
def test_nobody_but_its_server_is_given_a_port_that_is_held() -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        held = HeldPort()
        # As if all other ports were taken.
        assert _own_end_of_a_connection(elsewhere.getsockname(), held.number) is None
        for _ in range(2):
            with socket.create_server(("127.0.0.1", held.number)):
                assert is_listening(held.number)
        held.release()
        assert _own_end_of_a_connection(elsewhere.getsockname(), held.number) == held.number


def _own_end_of_a_connection(target: tuple[str, int], only: int) -> int | None:
    """The port that the system gives a connection where it has only one to give; None where it gives none."""
    ip_local_port_range = 51  # since Linux 6.3; the socket module does not name it
    with socket.socket() as connection:
        try:
            connection.setsockopt(socket.IPPROTO_IP, ip_local_port_range, struct.pack("I", only | only << 16))
        except OSError as error:
            pytest.skip(f"this kernel cannot bound the ports of a connection ({error.strerror})")
        failed = connection.connect_ex(target)
        assert failed in {0, errno.EADDRNOTAVAIL}
        if failed:
            return None
        own: int = connection.getsockname()[1]
        return own


@HOLDS
def test_a_port_that_is_held_is_not_free_for_who_does_not_share_it() -> None:
    held = HeldPort()
    with socket.socket() as other:
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", held.number))
        held.release()
        other.bind(("127.0.0.1", held.number))


@HOLDS
def test_a_host_of_several_addresses_has_one_port_at_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    two = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("127.0.0.1", "127.0.0.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: two)
    held = HeldPort(host="both")
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.2", held.number))
    held.release()


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("203.0.113.1", "SCOREKEEPER_HOST: '203.0.113.1' is no address of this machine"),
        ("no such host", "SCOREKEEPER_HOST: 'no such host' is no address"),
    ],
)
def test_an_address_that_nobody_can_listen_on_is_not_called_a_taken_port(host: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=said):
        require_free(free_port(), host)


def test_a_port_that_this_user_may_not_have_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_socket: socket.socket, _address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    # Tests run as anybody, also as root.
    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(InvalidSettings, match=r"may not listen on port 80: .* SCOREKEEPER_PORT"):
        require_free(80, "127.0.0.1")


def test_an_address_of_ipv6_is_tried_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[int, object]] = []

    def note(probe: socket.socket, address: tuple[object, ...]) -> None:
        tried.append((probe.family, address[:2]))

    # Not every machine has one.
    monkeypatch.setattr(socket.socket, "bind", note)
    require_free(8000, "::1")
    assert tried == [(socket.AF_INET6, ("::1", 8000))]


def test_a_child_that_ends_at_once_says_why(tmp_path: Path) -> None:
    child = ChildProcess("it", [sys.executable, "-c", "raise SystemExit('no luck')"], tmp_path / "log")
    with pytest.raises(EmbeddedUnavailable, match="no luck"):
        child.wait_until(lambda: False, 60)


def test_a_child_does_not_survive_its_parent(tmp_path: Path) -> None:
    port = free_port()
    program = (
        "import sys, signal; from pathlib import Path; from app.embedded.redis import start_redis;"
        f"print(start_redis(Path({str(tmp_path)!r}), {port}).pid, flush=True); signal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    child.wait(timeout=60)
    assert not is_listening(port)
