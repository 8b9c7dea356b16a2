"""Ports of this machine: one that is held, or a clear word why the wanted one cannot be had."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from typing import Any

from app.errors import EmbeddedUnavailable, InvalidSettings

LOOPBACK = "127.0.0.1"


class HeldPort:
    """A port that stays this process's to give until it is released: no connection of anybody is given it as its own
    end, and who asks for any port gets another one. A server of ours may listen there, and again after its death.

    Bound, and never listened on: Linux lets a server in beside that, as servers set SO_REUSEADDR. Elsewhere the server
    would be refused, so there the port is only looked at.
    """

    def __init__(self, port: int = 0, host: str = LOOPBACK) -> None:
        """A free one for 0. Raises EmbeddedUnavailable when somebody listens there, InvalidSettings when nobody could:
        both name the setting."""
        self.number = port
        self._sockets: list[socket.socket] = []
        try:
            for found in _addresses(port, host):
                self._bind(*found)
        except OSError as error:
            self.release()
            raise _refused(self.number, host, error) from error
        if sys.platform != "linux":
            self.release()

    def _bind(self, family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> None:
        held = socket.socket(family, kind, protocol)
        self._sockets.append(held)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # All addresses of a host have the port that the first one was given.
        held.bind((address[0], self.number, *address[2:]))
        self.number = self.number or held.getsockname()[1]

    def release(self) -> None:
        """May be repeated."""
        for held in self._sockets:
            held.close()


def require_free(port: int, host: str) -> None:
    """Whether the HTTP API could listen there. Raises as HeldPort does."""
    HeldPort(port, host).release()


def _addresses(port: int, host: str) -> Iterator[tuple[int, int, int, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise InvalidSettings(f"SCOREKEEPER_HOST: {host!r} is no address ({error.strerror}); {_HOSTS}") from error
    for family, kind, protocol, _, address in found:
        yield family, kind, protocol, address


_PORTS = "choose another one with --port or SCOREKEEPER_PORT"
_HOSTS = "take 127.0.0.1, 0.0.0.0 for all, or one that `ip address` shows"


def _refused(port: int, host: str, error: OSError) -> EmbeddedUnavailable | InvalidSettings:
    if error.errno == errno.EADDRINUSE:
        return EmbeddedUnavailable(f"port {port} is in use: stop what listens there, or {_PORTS}")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return InvalidSettings(f"this user may not listen on port {port}: {_PORTS}, mostly from 1024 on")
    if error.errno == errno.EADDRNOTAVAIL:
        return InvalidSettings(f"SCOREKEEPER_HOST: {host!r} is no address of this machine; {_HOSTS}")
    return InvalidSettings(f"SCOREKEEPER_HOST: nobody can listen on {host!r} ({error.strerror}); {_HOSTS}")


def is_listening(port: int) -> bool:
    """Whether a connection to the port of the loopback address is accepted."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0
