"""`scorekeeper worker`, `api` and `migrate`: one part alone, as real deployments run them.

A part runs in this process, so that its supervisor sees the part itself: its id, signals and exit code.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.asking import with_parts
from app.cli.printing import AsJson, counted, fail, print_json, print_line, tell
from app.cli.topics import create_missing, missing
from app.errors import InvalidSettings
from config.settings import LAST_PORT

if TYPE_CHECKING:
    from app.bootstrap import Parts


def worker(
    create_topics: Annotated[
        bool, typer.Option("--create-topics", help="Create the topics that do not exist yet.")
    ] = False,
) -> None:
    """Count events, until it is asked to end. Run as many as there are partitions, at most."""

    async def check(parts: Parts) -> list[str]:
        await asyncio.to_thread(parts.require_schema)
        await _require_kept_counters(parts)
        await require_our_scheme(parts)
        if create_topics:
            await asyncio.to_thread(create_missing, parts.topics, parts.settings)
            return []
        return await asyncio.to_thread(missing, parts.topics, [*parts.settings.topics, *parts.settings.own_topics])

    absent = with_parts(check)
    if absent:
        fail(f"there is no topic {absent[0]!r}: create it, or start with --create-topics, or set SCOREKEEPER_TOPIC")
    _become("agents")


def api(
    host: Annotated[str | None, typer.Option("--host", help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=LAST_PORT, help="The port to listen on.")] = None,
) -> None:
    """Serve the HTTP API and the dashboard, until it is asked to end."""
    from app.bootstrap import load_settings, require_certificate
    from app.embedded.ports import require_free

    if host is not None:
        os.environ["SCOREKEEPER_HOST"] = host
    if port is not None:
        os.environ["SCOREKEEPER_PORT"] = str(port)
    settings = load_settings()
    require_certificate(settings)
    require_free(settings.port, settings.host)

    async def check(parts: Parts) -> None:
        await asyncio.to_thread(parts.require_schema)
        await require_our_scheme(parts)

    with_parts(check)
    _become("api")


def migrate(as_json: AsJson = False) -> None:
    """Bring the database's schema to this version's. May be repeated."""

    async def bring(parts: Parts) -> int:
        before = await asyncio.to_thread(parts.database.pending_migrations)
        if before < 0:
            raise InvalidSettings("the database was migrated by a newer version: install that version")
        await asyncio.to_thread(parts.database.migrate)
        return before

    applied = with_parts(bring)
    if as_json:
        print_json({"applied": applied})
    else:
        print_line(f"applied {counted(applied, 'migration')}" if applied else "the database is up to date")


async def _require_kept_counters(parts: Parts) -> None:
    """Raises InvalidSettings when Redis would drop counters to make room."""
    from app.errors import StoreUnavailable
    from app.stores.redis_client import as_store_errors, ask_every_server

    try:
        with as_store_errors():
            answers = await ask_every_server(parts.redis, "CONFIG GET", "maxmemory-policy")
    except StoreUnavailable as error:
        # Managed Redis often refuses CONFIG; an unreachable one is waited for by the worker.
        tell(f"scorekeeper: cannot see whether Redis keeps its keys ({error.cause})")
        return
    policies = {answer.get("maxmemory-policy", "noeviction") for answer in answers}
    for policy in policies - {"noeviction"}:
        raise InvalidSettings(
            f"Redis evicts keys when it is full (maxmemory-policy {policy}), and counts would be lost: "
            "set it to noeviction"
        )


async def require_our_scheme(parts: Parts) -> None:
    """Raises OtherScheme when what is shown was counted as another version does it."""
    from app.errors import EmbeddedUnavailable, OtherScheme, StoreUnavailable

    try:
        await parts.generations.active()
    except OtherScheme:
        raise
    except (StoreUnavailable, EmbeddedUnavailable):
        # Not there yet, or empty: that is waited for by what runs.
        return


def _become(module: str) -> None:
    """Run the module in this process, which has loaded most of it already: a second faster than a new one."""
    sys.argv = [module]
    # The loop of the checks is closed, and Faust asks for the present one.
    asyncio.set_event_loop(asyncio.new_event_loop())
    runpy.run_module(module, run_name="__main__", alter_sys=True)
