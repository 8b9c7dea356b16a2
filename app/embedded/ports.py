"""Ports of this machine: a free one, or a clear word why the wanted one cannot be had."""

from __future__ import annotations

import errno
import socket

from app.errors import EmbeddedUnavailable, InvalidSettings

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, host: str) -> None:
    """Whether the HTTP API could listen there. Raises EmbeddedUnavailable when somebody else does, InvalidSettings when
    nobody could: both name the setting."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise InvalidSettings(f"SCOREKEEPER_HOST: {host!r} is no address ({error.strerror}); {_HOSTS}") from error
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise _refused(port, host, error) from error


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


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Whether a connection to the port is accepted."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0
