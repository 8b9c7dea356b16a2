"""`scorekeeper snapshot`: the counters as a file, for logs that Kafka has deleted since."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.asking import with_parts
from app.cli.printing import AsJson, fail, print_json, print_line
from app.domain.moments import rfc3339

if TYPE_CHECKING:
    from app.bootstrap import Parts

snapshot = typer.Typer(help="Save the counters to a file, or load them from one.", no_args_is_help=True)
_PATIENCE_SECONDS = 600.0
"""A stripe is read in one call, which a large one takes many seconds for."""
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The snapshot.")]


@snapshot.command("save")
def save_snapshot(
    file: FileArgument,
    number: Annotated[int | None, typer.Option("--generation", help="Not the one that is shown, but this.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write all counters, and what is remembered against duplicates, with the offsets up to which they are complete.

    May run beside counting. The file holds no event, but a key of hashes: keep it as you keep a password.
    """
    from app.stores.redis_snapshots import save

    async def ask(parts: Parts) -> dict[str, Any]:
        generation = await (parts.generations.active() if number is None else parts.generations.get(number))
        keys = await save(parts.redis, generation, file, int(time.time() * 1000))
        return {"generation": generation.number, "keys": keys, "bytes": file.stat().st_size}

    try:
        done = with_parts(ask, redis_timeout_seconds=_PATIENCE_SECONDS)
    except OSError as error:
        fail(f"{file} cannot be written ({error.strerror or error}); name a file that can be")
    if as_json:
        print_json(done)
    else:
        print_line(f"saved generation {done['generation']}: {done['keys']} keys, {done['bytes']:,} bytes")


@snapshot.command("load")
def load_snapshot(
    file: FileArgument,
    keep: Annotated[bool, typer.Option("--no-switch", help="Load it, but do not show it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a generation of a snapshot, and show it: counting goes on where the snapshot ended.

    The generation shown before stays until it is dropped. Definitions are not in it: see `scorekeeper apply`.
    """
    from app.stores.redis_snapshots import load, read_header

    async def ask(parts: Parts) -> dict[str, Any]:
        header = await asyncio.to_thread(read_header, file)
        generation = await load(parts.redis, file)
        if not keep:
            await parts.generations.switch(generation.number)
        return {
            "generation": generation.number,
            "savedAt": rfc3339(header.saved_at),
            "checkpoints": header.checkpoints,
            "shown": not keep,
        }

    try:
        done = with_parts(ask)
    except OSError as error:
        remedy = "name a file that `scorekeeper snapshot save` has written"
        fail(f"{file} cannot be read ({error.strerror or error}); {remedy}", 2)
    if as_json:
        print_json(done)
        return
    print_line(f"loaded generation {done['generation']}, as it was at {done['savedAt']}")
    print_line("it is shown now" if done["shown"] else "it is not shown; `scorekeeper generations switch` shows it")
