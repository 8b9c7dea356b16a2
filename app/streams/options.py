"""How to reach Kafka and how to read from it: plain values, known without any client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ISOLATION: Final = "read_committed"
"""What is read of transactions: what was committed. What was aborted never counts, and until that is certain nothing
behind it does: the log ends there, as its readers see it."""


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """How to reach Kafka and how to read from it. Sizes in bytes, times in seconds."""

    bootstrap: str
    topics: tuple[str, ...]
    group: str
    client_id: str
    session_timeout_seconds: float = 6.0
    poll_records: int = 4_000
    fetch_bytes: int = 2 * 1024 * 1024
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_cafile: str | None = None
