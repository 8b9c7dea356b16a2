"""`scorekeeper export` and `apply`: a project's definitions as a file that a team keeps beside its code."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from app.cli.asking import ProjectOption, chosen_projects, schema_ready, schema_to_read, with_parts
from app.cli.declarations import Declaration, read_declarations, written
from app.cli.printing import AsJson, fail, print_json, print_line, tell
from app.cli.yaml_source import problem_lines, write_documents
from app.defining import check_name
from app.domain.declaring import ALERT, Plan, Step, Work, as_present, plan
from app.domain.history import DefinitionVersion
from app.domain.references import not_found_after
from app.errors import InvalidDefinition, NotFound, ScorekeeperError, raise_together

if TYPE_CHECKING:
    from app.bootstrap import Parts

SIGNS = {"create": "+", "change": "~", "delete": "-"}


def export(
    project: ProjectOption = None,
    no_history: Annotated[
        bool, typer.Option("--no-history", help="Only what is in force, without the versions that acted before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the definitions of a project, or of all, as YAML that `apply` takes.

    With their history, an emptied database gets back the same definitions, ids and, after a rebuild, counts. Alerts
    are there with their addresses, and without what signs them.
    """

    async def ask(parts: Parts) -> list[dict[str, Any]]:
        await schema_to_read(parts)
        keys = await chosen_projects(parts, project)
        history = await asyncio.to_thread(parts.definitions.history)
        known = {one.key: one for one in history.projects}
        alerts = [await asyncio.to_thread(parts.alert_store.list, key) for key in keys]
        return [
            written(known[key], history.versions, own, with_history=not no_history)
            for key, own in zip(keys, alerts, strict=True)
        ]

    found = with_parts(ask)
    if as_json:
        print_json(found)
        return
    sys.stdout.write(write_documents(found))


def apply(
    file: Annotated[Path, typer.Argument(help="Definitions in YAML (or JSON); `-`: stdin.")],
    project: ProjectOption = None,
    prune: Annotated[bool, typer.Option("--prune", help="Delete what the file does not declare.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a project's definitions what the file declares: all of it, or nothing. May be repeated.

    A definition is found by its id, else by its name. A project that does not exist is created; if the file holds its
    history, as it was. Of an alert that is new, the secret that signs its messages is printed, this once.
    """
    from app.bootstrap import load_settings

    name = "stdin" if str(file) == "-" else str(file)
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        fail(f"{name} cannot be read ({reason}); name a file of definitions, as `scorekeeper export` prints one", 2)
    allow_private = load_settings({}).alerts_allow_private
    declarations, problems = read_declarations(name, text, project, allow_private=allow_private)
    if problems:
        for line in problems:
            tell(line)
        # And what only the project shows: nobody has to come back for the second half. Why there may be none of it is
        # no mistake of the file, and told when that is mended.
        with suppress(ScorekeeperError):
            with_parts(lambda parts: _plan_all(parts, declarations, prune=prune))
        raise typer.Exit(2)
    done: list[dict[str, Any]] = []
    try:
        with_parts(lambda parts: _apply_all(parts, declarations, done, prune=prune, dry_run=dry_run))
    finally:
        # Also what was done before a failure: a secret is told now or never.
        if as_json and done:
            print_json(done)
        elif not as_json:
            _print_secrets(done)


def _print_secrets(done: list[dict[str, Any]]) -> None:
    for step in (step for one in done for step in one["steps"]):
        if "secret" in step:
            print_line(f"secret of alert {step['name']!r} ({step['id']}), shown this once: {step['secret']}")


async def _apply_all(
    parts: Parts, declarations: list[Declaration], done: list[dict[str, Any]], *, prune: bool, dry_run: bool
) -> None:
    """`done` gets what became of each, in order."""
    from app.stores.auditing import COMMAND_LINE

    # Every plan before the first change: a mistake in the last document leaves all as it was.
    planned = await _plan_all(parts, declarations, prune=prune)
    works = [
        Work(one.as_project(one.created_at), found.is_new, one.versions, found.plan.steps)
        for one, found in zip(declarations, planned, strict=True)
        if found.plan.steps or found.is_new
    ]
    # What the database alone can refuse, too; a dry run says so like any other.
    if works:
        await parts.defining.rehearse(works, COMMAND_LINE)
    for one, found in zip(declarations, planned, strict=True):
        done.append(await _carry_out(parts, one, found, dry_run=dry_run))


@dataclass(frozen=True, slots=True)
class _Planned:
    """`is_new`: the project has to be created. `warnings`: what would refer to nothing."""

    plan: Plan
    is_new: bool
    warnings: Sequence[str]


async def _plan_all(parts: Parts, declarations: Sequence[Declaration], *, prune: bool) -> list[_Planned]:
    """Tells every mistake. Raises InvalidSettings when migrations are missing, StoreUnavailable."""
    await schema_ready(parts)
    planned: list[_Planned] = []
    for one in declarations:
        try:
            planned.append(await _plan(parts, one, prune=prune))
        except InvalidDefinition as error:
            for line in problem_lines(one.file, one.document, error):
                tell(line)
    if len(planned) < len(declarations):
        raise typer.Exit(2)
    return planned


async def _plan(parts: Parts, one: Declaration, *, prune: bool) -> _Planned:
    alerts: Sequence[DefinitionVersion] = ()
    try:
        owner, present = await asyncio.to_thread(parts.definitions.current, one.project)
        alerts = [as_present(alert) for alert in await asyncio.to_thread(parts.alert_store.list, one.project)]
        is_new = False
    except NotFound:
        owner, present, is_new = one.as_project(0), one.present(), True
    problems = []
    if is_new:
        try:
            check_name(one.name)
        except InvalidDefinition as error:
            problems.append(error)
    if one.time_zone is not None and one.time_zone != owner.time_zone:
        problem = f"the project's is {owner.time_zone}."
        problems.append(InvalidDefinition("/timeZone", problem, "It cannot be changed here."))
    considered = [*present, *alerts] if one.has_alerts else present
    try:
        made = plan(owner, one.declared, considered, now=int(time.time() * 1000), prune=prune)
    except InvalidDefinition as error:
        problems.append(error)
    raise_together(problems)
    warnings = not_found_after(made, [*present, *alerts])
    if prune and alerts and not one.has_alerts:
        warnings.append(f"{len(alerts)} alerts stay: the file says nothing of `alerts`; `alerts: []` deletes them")
    return _Planned(made, is_new, warnings)


async def _carry_out(parts: Parts, one: Declaration, found: _Planned, *, dry_run: bool) -> dict[str, Any]:
    from app.alerting import new_secret
    from app.stores.auditing import COMMAND_LINE

    made, is_new = found.plan, found.is_new
    _show(one, found)
    secrets = {step.id: new_secret() for step in made.steps if step.kind == ALERT and step.action == "create"}
    is_live = True
    if not dry_run:
        if is_new and one.versions:
            is_live = await parts.defining.restore(one.as_project(one.created_at), one.versions, COMMAND_LINE)
        elif is_new:
            await parts.defining.create_project(one.name, one.time_zone or "UTC", key=one.project)
        is_live = await parts.defining.carry_out(one.project, made.steps, secrets, COMMAND_LINE) and is_live
        _tell_what_is_left(one, made, is_new, is_live)
    else:
        secrets = {}
    return {
        "project": one.project,
        "created": is_new,
        "applied": not dry_run,
        "live": is_live,
        "unchanged": made.unchanged,
        "undeclared": made.undeclared,
        "warnings": list(found.warnings),
        "steps": [_as_json(step, secrets.get(step.id)) for step in made.steps],
    }


def _show(one: Declaration, found: _Planned) -> None:
    """The plan, for people; on stderr, so that --json has stdout for itself."""
    made, is_new = found.plan, found.is_new
    lines = [f"project {one.project}" + (" (new)" if is_new else "")]
    if is_new and one.versions:
        lines.append(f"  + {len(one.versions)} versions of its history")
    for step in made.steps:
        lines.append(f"  {SIGNS[step.action]} {step.kind.replace('_', ' ')} {step.name!r} ({step.id})")
        if step.action != "delete":
            lines += [f"      {_difference(*found, step.action)}" for found in _differences(step)]
    totals = [f"{made.count('create')} to create", f"{made.count('change')} to change"]
    totals += [f"{made.count('delete')} to delete", f"{made.unchanged} unchanged"]
    lines.append(f"plan: {', '.join(totals)}")
    if made.undeclared:
        lines.append(f"{made.undeclared} not in the file stay as they are; --prune deletes them")
    lines += [f"warning: {one}" for one in found.warnings]
    for line in lines:
        tell(line)


def _differences(step: Step) -> list[tuple[str, object, object]]:
    """As they may stand in the log of a CI run: of an alert's address, which may be a secret, the beginning."""
    if step.kind != ALERT:
        return step.differences()
    return [
        (name, _origin(before), _origin(after)) if name == "url" else (name, before, after)
        for name, before, after in step.differences()
    ]


def _origin(url: object) -> str | None:
    if url is None:
        return None
    parts = urlsplit(str(url))
    return f"{parts.scheme}://{parts.netloc}/…"


def _difference(name: str, before: object, after: object, action: str) -> str:
    new = "(taken away)" if after is None else json.dumps(after, ensure_ascii=False)
    if action == "create":
        return f"{name}: {new}"
    old = "(absent)" if before is None else json.dumps(before, ensure_ascii=False)
    return f"{name}: {old} -> {new}" + (" (another one there)" if old == new else "")


def _tell_what_is_left(one: Declaration, made: Plan, is_new: bool, is_live: bool) -> None:
    if is_new and one.versions:
        tell("restored with its history: `scorekeeper rebuild` counts what the log holds for it")
    if is_new:
        tell(f"its API keys are not in the file: scorekeeper keys create --project {one.project}")
    if made.steps and not is_live:
        tell("no worker has confirmed this yet: it is stored and acts when one does")
    tell("applied" if made.steps or is_new else "nothing to do")


def _as_json(step: Step, secret: str | None) -> dict[str, Any]:
    changed = [{"field": name, "before": before, "after": after} for name, before, after in _differences(step)]
    shown = {"action": step.action, "kind": step.kind, "id": step.id, "name": step.name, "fields": changed}
    return shown if secret is None else {**shown, "secret": secret}
