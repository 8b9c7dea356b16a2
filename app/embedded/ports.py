"""Ports of this machine: a free one, or a clear word that the wanted one is taken."""

from __future__ import annotations

import socket

from app.errors import EmbeddedUnavailable

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, variable: str, host: str = LOOPBACK) -> int:
    """The port itself. Raises EmbeddedUnavailable naming the setting when somebody listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = f"port {port} is in use: stop what listens there, or choose another one with {variable}"
            raise EmbeddedUnavailable(message) from error
    return port


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Whether a connection to the port is accepted."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0
