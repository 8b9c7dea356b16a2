"""New ids: 96 bits, URL-safe and easy to select."""

from __future__ import annotations

import hashlib
import secrets


def new_id(prefix: str) -> str:
    """A random one."""
    return f"{prefix}_{secrets.token_hex(12)}"


def id_for(prefix: str, project: str, asked_as: str | None) -> str:
    """Always the same for what a project asks for under one name (see `bodies.idempotency_key`); random without."""
    if asked_as is None:
        return new_id(prefix)
    return f"{prefix}_{hashlib.sha256(f'{project} {asked_as}'.encode()).hexdigest()[:24]}"
