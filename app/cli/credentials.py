"""The API keys that `up` shows again on its next run: kept in the data directory, for its owner alone (mode 0600)."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from app.defining import project_key
from app.embedded.running import write_privately
from app.errors import Conflict, InvalidApiKey

if TYPE_CHECKING:
    from app.bootstrap import Parts

FILE = "api-keys.json"


async def key_of(parts: Parts, project_name: str) -> tuple[str, str]:
    """(project's key, API key): the kept one as long as it works, else a new one. Creates the project if need be."""
    project = project_key(project_name)
    with suppress(Conflict):  # it exists already, from an earlier run or made by hand
        await parts.defining.create_project(project_name)
    file = parts.settings.data_dir / FILE
    kept = await asyncio.to_thread(_read, file)
    key = kept.get(project, "")
    if not key or not await asyncio.to_thread(_works, parts, key, project):
        _, key = await asyncio.to_thread(lambda: parts.keys.create(project, name="scorekeeper up"))
        await asyncio.to_thread(write_privately, file, json.dumps({**kept, project: key}))
    return project, key


def _read(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _works(parts: Parts, key: str, project: str) -> bool:
    try:
        return bool(parts.keys.authenticate(key).project == project)
    except InvalidApiKey:
        return False
