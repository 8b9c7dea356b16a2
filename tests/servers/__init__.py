"""Real parts for the tests: Kafka, Redis and PostgreSQL, started here, stopped here, and broken on demand.

With CI=true a part that cannot be had is an error. Without it, the next best one is taken, and the header says which.
"""

from __future__ import annotations

import os


def is_ci() -> bool:
    """Whether every real part is required."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}
