"""Alerts as they are stored, and what is sent for them. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.alerting import Told


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """`version` is what a change starts from. `body` in the API's field names."""

    id: str
    project: str
    created_at: int
    body: Mapping[str, Any]
    told: Mapping[str, Told]
    version: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """`next_at` None: delivered, or given up. Times are epoch ms of the database's clock."""

    id: str
    alert: str
    created_at: int
    body: str
    attempts: int
    next_at: int | None
    delivered_at: int | None
    status: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery that is this process's to send for a while."""

    delivery: Delivery
    url: str
    secret: str
    age_ms: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a webhook. `status` is the answer's, None where there was none; `error` is empty where it was
    delivered."""

    status: int | None
    error: str
