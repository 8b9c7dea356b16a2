"""What commands that ask servers share: running a coroutine over the parts, and choosing a project."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.errors import EmbeddedUnavailable, NotFound, ScorekeeperError

if TYPE_CHECKING:
    from app.bootstrap import Parts

T = TypeVar("T")

ProjectOption = Annotated[str | None, typer.Option("--project", help="The project's key.", show_default=False)]


def with_parts(ask: Callable[[Parts], Awaitable[T]], **overrides: object) -> T:
    """Run `ask` over this process's parts, and close them. `overrides` are settings by name."""
    from app.bootstrap import Parts, load_settings

    async def run() -> T:
        async with Parts(load_settings(overrides), "cli") as parts:
            return await ask(parts)

    return asyncio.run(run())


async def schema_ready(parts: Parts) -> None:
    """Raises InvalidSettings when migrations are missing."""
    await asyncio.to_thread(parts.require_schema)


async def schema_to_read(parts: Parts) -> None:
    """The same for who only looks. Raises EmbeddedUnavailable where nothing was ever made: in another folder than the
    one that is meant there would be no goal, and a database from then on."""
    settings = parts.settings
    if settings.database is None and not settings.data_dir.exists():
        raise EmbeddedUnavailable(
            f"there is no {settings.data_dir} here: go where `scorekeeper up` runs, name it with --data-dir, or set "
            "SCOREKEEPER_DATABASE"
        )
    await schema_ready(parts)


async def chosen_projects(parts: Parts, key: str | None) -> Sequence[str]:
    """The named project, else all. Raises NotFound."""
    projects = await asyncio.to_thread(parts.definitions.projects)
    known = [project.key for project in projects]
    if key is None:
        return known
    require_known("project", key, known)
    return [key]


def require_known(kind: str, ident: str, known: Collection[str]) -> None:
    """Raises NotFound, with the nearest that is known."""
    if ident not in known:
        nearest = get_close_matches(ident, known, n=1)
        raise NotFound(kind, ident, nearest[0] if nearest else None)


async def one_project(parts: Parts, key: str | None) -> str:
    """The named project, else the only one. Raises NotFound, or says that one has to be named."""
    known = await chosen_projects(parts, key)
    if len(known) == 1:
        return known[0]
    if not known:
        raise ScorekeeperError("there is no project yet: scorekeeper projects create NAME")
    raise ScorekeeperError(f"which project? Name it with --project: {', '.join(known[:20])}")
