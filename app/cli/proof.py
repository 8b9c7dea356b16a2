"""`scorekeeper verify`: count the log again and compare; `rebuild`, `generations`: a second counting, the switch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.asking import require_known, schema_ready, with_parts
from app.cli.moments import since_option
from app.cli.printing import AsJson, fail, print_json, print_line, print_table, tell
from app.domain.declaring import GOAL
from app.domain.loss import with_moments
from app.domain.moments import rfc3339
from app.errors import GenerationMissing, OtherScheme

if TYPE_CHECKING:
    from app.bootstrap import Parts
    from app.proving import Verdict
    from app.rebuilding import Rebuild
    from app.recounting import RecountProgress
    from app.stores.redis import RedisCounters

SHOWN_SECONDS = 1.0


def verify(
    goal: Annotated[str | None, typer.Option("--goal", help="Compare this goal's counters only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read the log again from where the shown counting began, count it in memory, and compare every counter.

    Prints `equal`, or each difference with the ids of the events behind it; exit code 1 then.
    """
    verdict, losses = with_parts(lambda parts: _verify(parts, goal))
    if as_json:
        print_json({**_as_json(verdict), "losses": losses})
    else:
        _print(verdict, losses)
    if not verdict.equal:
        raise typer.Exit(1)


async def _verify(parts: Parts, goal: str | None) -> tuple[Verdict, Sequence[Mapping[str, Any]]]:
    """And what was told to be lost: of what was counted before, the counters alone know."""
    from app.bootstrap.collecting import freeze_what_is_loaded
    from app.domain.catalog import Catalog
    from app.proving import verify as prove
    from app.refreshing import CatalogRefresher
    from app.stores.memory import MemoryCounters

    await schema_ready(parts)
    if goal is not None:
        history = await asyncio.to_thread(parts.definitions.history)
        require_known("goal", goal, {version.id for version in history.versions if version.kind == GOAL})
    counters = await parts.counters()
    catalog = CatalogRefresher(parts.definitions)
    await catalog.refresh()
    freeze_what_is_loaded()

    async def read_catalog() -> Catalog:
        await catalog.refresh()
        return catalog.current

    verdict = await prove(
        counters,
        lambda: MemoryCounters(counters.stripes),
        counters.generation.rules,
        read_catalog,
        parts.log,
        parts.spans,
        only_goal=goal,
        on_progress=_Shown("counted again"),
    )
    return verdict, [with_moments(loss) for loss in await counters.losses()]


class _Shown:
    """Tells how far a recount is, once a second, with an estimate."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._begun = self._told = time.monotonic()

    def __call__(self, progress: RecountProgress) -> None:
        now = time.monotonic()
        if now - self._told < SHOWN_SECONDS or not progress.done:
            return
        self._told = now
        left = (now - self._begun) / progress.done * (progress.total - progress.done)
        tell(f"{progress.done:,} of {progress.total:,} messages {self._what}, about {left:.0f} s to go")


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "equal": verdict.equal,
        "since": rfc3339(verdict.since),
        "messages": verdict.messages,
        "compared": verdict.compared,
        "unprovable": verdict.unprovable,
        "unfinished": verdict.unfinished,
        "differences": [
            {
                "owner": one.difference.owner,
                "field": one.difference.field,
                "counted": one.difference.counted,
                "recounted": one.difference.recounted,
                "eventIds": one.event_ids,
            }
            for one in verdict.differences
        ],
    }


def _print(verdict: Verdict, losses: Sequence[Mapping[str, Any]]) -> None:
    for goal in verdict.unfinished:
        print_line(f"{goal}: what came before it is still being counted; it shows no number yet, and was not compared")
    for reason in verdict.unprovable:
        print_line(f"cannot be proved: {reason}")
    for one in verdict.differences:
        found = one.difference
        ids = ", ".join(one.event_ids) or "no event of the log"
        print_line(
            f"{found.owner} {found.field}: the counters say {found.counted}, the log says {found.recounted}; "
            f"the log counts there: {ids}"
        )
    for loss in losses if verdict.differences else ():
        print_line(
            f"{loss['topic']}/{loss['partition']}: offsets {loss['from']} to {loss['to'] - 1} were told as lost at "
            f"{loss['at']}; what was counted of them before, the counters alone have"
        )
    since = "" if verdict.since is None else f" since {rfc3339(verdict.since)}; what came before is not counted"
    if verdict.equal:
        print_line(f"equal: {verdict.compared} counters, from {verdict.messages} messages{since}")
    elif since:
        print_line(f"compared with the log{since}")


def rebuild(
    since: Annotated[int | None, since_option("Leave out what was received before")] = None,
    keep: Annotated[bool, typer.Option("--no-switch", help="Count and compare, but do not show it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Count the whole log again beside the live counting, with the settings of now; then show the new counting.

    With --since, as if the log began there: goals that had started before are marked as incomplete. A rebuild that was
    stopped goes on where it was, if its settings are those of now, and --since is what it was. The old generation stays
    until it is dropped.
    """
    found = with_parts(lambda parts: _rebuild(parts, since, switch=not keep))
    if as_json:
        print_json(found)
        return
    print_line(f"generation {found['generation']}: {found['messages']} messages, {_told_of_comparison(found)}")
    print_line("it is shown now" if found["shown"] else "it is not shown; `scorekeeper generations switch` shows it")


def _told_of_comparison(found: Mapping[str, Any]) -> str:
    since = "" if found["since"] is None else f"counted since {found['since']}; "
    if found["differences"] is None:
        return f"{since}not compared: {found['notCompared']}; `scorekeeper verify` proves what is shown"
    return f"{since}{found['differences']} differences to what was shown"


async def _rebuild(parts: Parts, since: int | None, *, switch: bool) -> dict[str, Any]:
    from app.bootstrap.rebuilding import make_rebuild

    await schema_ready(parts)
    generation, rebuild = await make_rebuild(parts, since)
    on_progress = _Shown(f"counted into generation {generation}")
    messages = await rebuild.count(on_progress)
    shown = None
    with suppress(GenerationMissing, OtherScheme):
        shown = await parts.counters()
    comparison = await rebuild.compare_with(shown, on_progress) if shown is not None else None
    not_compared = await _why_not_compared(rebuild, shown) if comparison is None else None
    await parts.generations.finish(generation)
    if switch:
        await parts.generations.switch(generation)
    return {
        "generation": generation,
        "since": rfc3339(rebuild.store.beginning.since),
        "messages": messages,
        "compared": comparison.compared if comparison is not None else 0,
        "differences": len(comparison.differences) if comparison is not None else None,
        "notCompared": not_compared,
        "shown": switch,
    }


async def _why_not_compared(rebuild: Rebuild, shown: RedisCounters | None) -> str:
    if shown is None or await rebuild.begins_like(shown):
        return "nothing that is shown stands at the same offsets"
    before = rfc3339(shown.beginning.since)
    return f"what was shown counts from {before or 'the start of the log'}"


generations = typer.Typer(help="Complete countings of the log: which exist, and which one is shown.")


@generations.callback(invoke_without_command=True)
def list_generations(context: typer.Context, as_json: AsJson = False) -> None:
    """List them."""
    if context.invoked_subcommand is not None:
        return

    async def ask(parts: Parts) -> list[dict[str, Any]]:
        active = await parts.generations.active_number()
        return [
            {
                "generation": state.number,
                "shown": state.number == active,
                "createdAt": state.created_at,
                "since": rfc3339(state.since),
            }
            for state in await parts.generations.states()
        ]

    rows = with_parts(ask)
    if as_json:
        print_json(rows)
        return
    table = [
        (row["generation"], "yes" if row["shown"] else "", rfc3339(row["createdAt"]), row["since"]) for row in rows
    ]
    print_table(["#generation", "shown", "created at", "counts since"], table, empty="nothing was counted yet")


@generations.command("switch")
def switch_generation(
    number: Annotated[int, typer.Argument(help="The generation to show.")], as_json: AsJson = False
) -> None:
    """Show another generation, from now on."""
    with_parts(lambda parts: parts.generations.switch(number))
    if as_json:
        print_json({"generation": number, "shown": True})
    else:
        print_line(f"generation {number} is shown")


@generations.command("drop")
def drop_generation(
    number: Annotated[int, typer.Argument(help="The generation to delete.")],
    with_receipts: Annotated[
        bool, typer.Option("--with-receipts", help="Delete also the receipts that were not sent yet.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a generation that is not shown."""

    async def drop(parts: Parts) -> None:
        from app.stores.redis_outbox import unsent_receipts

        if await parts.generations.active_number() == number:
            fail(f"generation {number} is shown: switch to another one first")
        # Its rules are not needed: another version's generation can be dropped too.
        if number not in await parts.generations.numbers():
            raise GenerationMissing(number)
        left = 0 if with_receipts else await unsent_receipts(parts.redis, number)
        if left:
            fail(
                f"generation {number} has {left} receipt{'s' if left > 1 else ''} not sent yet: start a worker of the "
                "version that counted it, with the topic of receipts, and wait, or delete them too, by --with-receipts"
            )
        await parts.generations.drop(number)

    with_parts(drop)
    if as_json:
        print_json({"generation": number, "deleted": True})
    else:
        print_line(f"generation {number} is deleted")
