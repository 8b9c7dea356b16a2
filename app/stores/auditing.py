"""The audit log's one way in: an entry is written in the transaction of what it tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, insert

from app.stores.tables import audit

COMMAND_LINE: Final = "cli"
"""Who did it, where no key tells: projects and keys are made by whoever runs commands on the server."""


def write_audit(
    connection: Connection,
    *,
    at: int,
    project: str,
    actor: str,
    action: str,
    kind: str,
    target: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """`before` None: it is new; `after` None: it is gone. Neither may hold a secret."""
    connection.execute(
        insert(audit).values(
            at=at,
            project=project,
            actor=actor,
            action=action,
            kind=kind,
            target=target,
            before=None if before is None else json.dumps(before),
            after=None if after is None else json.dumps(after),
        )
    )
