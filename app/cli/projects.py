"""`scorekeeper projects` and `scorekeeper keys`: who may send and read what. Work on the database alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.asking import ProjectOption, chosen_projects, one_project, schema_ready, schema_to_read, with_parts
from app.cli.numbers import finite
from app.cli.printing import AsJson, print_json, print_line, print_table
from app.domain.fields import HOUR_MS
from app.errors import Conflict, InvalidDefinition
from config.settings import DAY_MS

if TYPE_CHECKING:
    from app.bootstrap import Parts
    from app.stores.sql_keys import ApiKey

projects = typer.Typer(help="Create and list projects.", no_args_is_help=True)
keys = typer.Typer(help="Create, list, roll and revoke API keys.", no_args_is_help=True)


@projects.command("create")
def create_project(
    name: Annotated[str, typer.Argument(help="A name; the project's key is made from it.")],
    time_zone: Annotated[str, typer.Option("--time-zone", help="Where its days begin, as IANA names it.")] = "UTC",
    key: Annotated[
        str | None, typer.Option("--key", help="Its key, where the name is not to give it: web-shop.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a project and its first API key, which is shown once."""
    from app.defining import check_name

    check_name(name)
    chosen = _project_key(name, key)

    async def create(parts: Parts) -> tuple[str, str]:
        await schema_ready(parts)
        try:
            project = await parts.defining.create_project(name, time_zone, key=chosen)
        except Conflict as error:
            raise Conflict(f"{error}: choose another name, or get a key with `scorekeeper keys create`") from error
        _, text = await asyncio.to_thread(lambda: parts.keys.create(project.key, name="first key"))
        return project.key, text

    made, text = with_parts(create)
    if as_json:
        print_json({"projectKey": made, "apiKey": text})
        return
    print_line(f"project  {made}")
    print_line(f"API key  {text}   (shown once: keep it)")


def _project_key(name: str, given: str | None) -> str:
    """A project's key has letters a to z, digits and hyphens alone; a name in another script needs one beside it."""
    from app.defining import project_key

    if given is None:
        try:
            return project_key(name)
        except InvalidDefinition as error:
            raise InvalidDefinition(error.field, error.problem, "Give a key beside it: --key web-shop.") from error
    try:
        wanted = project_key(given)
    except InvalidDefinition as error:
        raise InvalidDefinition("--key", error.problem, "Give one like web-shop.") from error
    if wanted != given:
        raise InvalidDefinition("--key", f"{given!r} is no project key.", f"Did you mean {wanted}?")
    return given


@projects.command("list")
def list_projects(as_json: AsJson = False) -> None:
    """List the projects."""

    async def ask(parts: Parts) -> list[dict[str, Any]]:
        await schema_to_read(parts)
        found = await asyncio.to_thread(parts.definitions.projects)
        return [
            {
                "projectKey": project.key,
                "name": project.name,
                "timeZone": project.time_zone,
                "createdAt": _moment(project.created_at),
            }
            for project in found
        ]

    found = with_parts(ask)
    if as_json:
        print_json(found)
        return
    print_table(
        ("project", "name", "time zone", "created at"),
        (tuple(project.values()) for project in found),
        empty="There is no project yet: scorekeeper projects create NAME",
    )


@keys.command("create")
def create_key(
    project: ProjectOption = None,
    name: Annotated[str | None, typer.Option("--name", help="What it is for.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="read, write, ingest, admin or operator; repeat it. Default: all but operator."),
    ] = None,
    days: Annotated[
        float | None, typer.Option("--days", min=0.001, max=36_500, callback=finite, help="It ends after so many days.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key. Its text is shown once."""
    from app.defining import check_name
    from app.stores.sql_keys import OPERATOR, SCOPES

    scopes = scope or list(SCOPES)
    for one in scopes:
        if one not in (*SCOPES, OPERATOR):
            raise InvalidDefinition("--scope", f"{one!r} is no scope.", f"One of: {', '.join((*SCOPES, OPERATOR))}.")
    if name is not None:
        check_name(name)

    async def create(parts: Parts) -> tuple[ApiKey, str]:
        await schema_ready(parts)
        owner = await one_project(parts, project)
        ends = None if days is None else int(datetime.now(UTC).timestamp() * 1000 + days * DAY_MS)
        return await asyncio.to_thread(
            lambda: parts.keys.create(owner, name=name or "", scopes=scopes, expires_at=ends),
        )

    _show_new(*with_parts(create), as_json=as_json)


@keys.command("list")
def list_keys(project: ProjectOption = None, as_json: AsJson = False) -> None:
    """List API keys, without their texts, which are kept nowhere."""

    async def ask(parts: Parts) -> list[dict[str, Any]]:
        await schema_to_read(parts)
        found: list[dict[str, Any]] = []
        for owner in await chosen_projects(parts, project):
            found += [_key(key) for key in await asyncio.to_thread(parts.keys.list, owner)]
        return found

    found = with_parts(ask)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "project", "name", "scopes", "created at", "expires at", "revoked at", "last used at"),
        ((*list(key.values())[:3], " ".join(key["scopes"]), *list(key.values())[4:]) for key in found),
        empty="There is no API key yet: scorekeeper keys create",
    )


@keys.command("roll")
def roll_key(
    ident: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.")],
    grace_hours: Annotated[
        float,
        typer.Option("--grace-hours", min=0, max=8_760, callback=finite, help="How long the old one still works."),
    ] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Replace an API key: a new one now, the old one ends after a while."""

    async def roll(parts: Parts) -> tuple[ApiKey, str]:
        await schema_to_read(parts)
        return await asyncio.to_thread(parts.keys.roll, ident, int(grace_hours * HOUR_MS))

    _show_new(*with_parts(roll), as_json=as_json)


@keys.command("revoke")
def revoke_key(
    ident: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """End an API key now."""

    async def revoke(parts: Parts) -> ApiKey:
        await schema_to_read(parts)
        return await asyncio.to_thread(parts.keys.revoke, ident)

    key = with_parts(revoke)
    if as_json:
        print_json(_key(key))
    else:
        print_line(f"revoked {key.id} of {key.project}")


def _show_new(key: ApiKey, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json({**_key(key), "apiKey": text})
        return
    print_line(f"id       {key.id}")
    print_line(f"project  {key.project}")
    print_line(f"API key  {text}   (shown once: keep it)")


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "projectKey": key.project,
        "name": key.name,
        "scopes": list(key.scopes),
        "createdAt": _moment(key.created_at),
        "expiresAt": _moment(key.expires_at),
        "revokedAt": _moment(key.revoked_at),
        "lastUsedAt": _moment(key.last_used_at),
    }


def _moment(at: int | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
