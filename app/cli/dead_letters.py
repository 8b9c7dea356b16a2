"""`scorekeeper dead-letters`: what could not be counted, why, and sending it again once that has changed."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.asking import chosen_projects, schema_ready, with_parts
from app.cli.moments import since_option
from app.cli.printing import AsJson, fail, print_json, print_line, print_table
from app.errors import Reason

if TYPE_CHECKING:
    from app.bootstrap import Parts
    from app.streams.letters import Letter

dead_letters = typer.Typer(help="Messages that could not be counted.", no_args_is_help=True)


WithReason = Annotated[Reason | None, typer.Option("--reason", metavar="REASON", help="Only those with this reason.")]
OfProject = Annotated[str | None, typer.Option("--project", help="Only this project's.")]
Since = Annotated[int | None, since_option("Only those received since")]


@dead_letters.command("list")
def list_letters(
    reason: WithReason = None,
    project: OfProject = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """The oldest first."""

    async def ask(parts: Parts) -> list[Letter]:
        from app.ports import Which

        which = Which(reason, await _only(parts, project), since)
        found: list[Letter] = []
        async with aclosing(parts.letters.read(which)) as letters:
            async for letter in letters:
                found.append(letter)
                if len(found) == limit:
                    break
        return found

    found = with_parts(ask)
    if as_json:
        print_json([letter.as_json() for letter in found])
        return
    rows = [(x.ident, x.ours.get("reason"), x.ours.get("project"), x.ours.get("detail")) for x in found]
    print_table(["id", "reason", "project", "detail"], rows, empty="no dead letters")


@dead_letters.command("show")
def show_letter(ident: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = True) -> None:
    """One of them, whole, as JSON."""
    del as_json  # There is no other form.

    async def ask(parts: Parts) -> Letter | None:
        from app.ports import Which

        async with aclosing(parts.letters.read(Which(idents=frozenset({ident})))) as letters:
            return await anext(letters, None)

    letter = with_parts(ask)
    if letter is None:
        fail(f"there is no dead letter {ident}; `scorekeeper dead-letters list` shows those there are")
    print_json(letter.as_json())


@dead_letters.command("replay")
def replay_letters(
    ident: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    reason: WithReason = None,
    project: OfProject = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Send them to their topic again. Harmless to repeat: an event that counted once does not count again."""

    async def send(parts: Parts) -> int:
        from app.ports import Which

        idents = None if ident is None else frozenset({ident})
        which = Which(reason, await _only(parts, project), since, idents)
        return await parts.letters.replay(which)

    replayed = with_parts(send)
    if ident is not None and not replayed:
        fail(f"there is no dead letter {ident}; `scorekeeper dead-letters list` shows those there are")
    if as_json:
        print_json({"replayed": replayed})
    else:
        print_line(f"replayed {replayed}")


async def _only(parts: Parts, project: str | None) -> frozenset[str] | None:
    """Raises NotFound: a letter of an unknown project is nobody's, so that its name would find nothing."""
    if project is None:
        return None
    await schema_ready(parts)
    return frozenset(await chosen_projects(parts, project))
