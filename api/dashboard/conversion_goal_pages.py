"""The pages of conversion goals: the list, the form with its preview, pause, archive, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from api.auth import limit, services_of
from api.dashboard import conversion_goal_form
from api.dashboard.condition_rows import OPERATORS, Row
from api.dashboard.forms import WRITER, Faults, Form, read_form, revision_of
from api.dashboard.pages import VISITOR, PageRoute, page
from api.dashboard.saying import go_on, said, warnings_for
from api.routes.goals import LIST_SECONDS
from api.routes.trying import try_definition, warnings_of
from api.services import Key
from app.defining import Defined
from app.domain.condition import compile_condition
from app.domain.conversion_goal import DefinitionStatus
from app.domain.json_values import writable
from app.domain.wording import describe_wanted
from app.errors import InvalidDefinition, StoreUnavailable
from app.patience import ask_sql

HERE = "/conversion-goals"
_EMPTY_ROWS = 1
pages = APIRouter(route_class=PageRoute, include_in_schema=False)


@pages.get(HERE)
async def list_conversion_goals(request: Request, key: VISITOR) -> Response:
    services = services_of(request)
    report, goals = await asyncio.gather(
        services.reporter.list_conversion_goals(key.project),
        services.reporter.list_for_a_crowd(key.project, services.now(), LIST_SECONDS),
    )
    fed: dict[str, list[Mapping[str, Any]]] = {}
    for goal in goals.items:
        for metric in {str(goal["metric"]), str(goal.get("denominatorMetric") or goal["metric"])}:
            fed.setdefault(metric, []).append(goal)
    ranks = {str(status): rank for rank, status in enumerate(DefinitionStatus)}
    items = sorted(report.items, key=lambda one: ranks.get(one["status"], 0))
    shown = [{**one, "asks": _asks(one), "goals": fed.get(str(one.get("metric")), [])} for one in items]
    return page("conversion_goals.html", key=key, here=HERE, items=shown, report=report, may_write=key.may("write"))


@pages.get(f"{HERE}/new")
async def show_new(request: Request, key: VISITOR) -> Response:
    given = request.query_params
    pairs = [(name, given[name]) for name in ("name", "eventType", "metric") if name in given]
    return _form(key, Form(pairs), Faults())


@pages.post(f"{HERE}/preview")
async def try_form(request: Request, key: VISITOR) -> Response:
    """The preview of what the form says, as the API answers it; `faults` names the fields that make no sense yet."""
    form, faults = await read_form(request), Faults()
    await limit(request, key, "reads", 1)
    body = conversion_goal_form.to_body(form, faults)
    body.setdefault("name", "unnamed")
    ident = form.text("id") or None
    if ident is not None:
        body = {**dict.fromkeys(conversion_goal_form.FIELDS), **body}
    try:
        if not faults.by_field:
            return JSONResponse(await try_definition(services_of(request), key.project, body, ident))
    except InvalidDefinition as error:
        faults.add_all(error, conversion_goal_form.FIELDS)
    except StoreUnavailable:
        return JSONResponse({"detail": "The log cannot be read now; saving works still."}, 503)
    return JSONResponse({"faults": faults.by_field}, 422)


@pages.post(f"{HERE}/new")
async def create(request: Request, key: WRITER) -> Response:
    form, faults = await read_form(request), Faults()
    body = conversion_goal_form.to_body(form, faults)
    await limit(request, key, "writes", 1)
    with faults.of_saving(conversion_goal_form.FIELDS):
        if not faults.by_field:
            done = await services_of(request).defining.create_conversion_goal(key.project, body, key.id)
            return await _saved(request, key, done)
    return _form(key, form, faults)


@pages.get(HERE + "/{ident}")
async def show_edit(request: Request, ident: str, key: VISITOR) -> Response:
    get = services_of(request).definitions.get
    version = await ask_sql(get, key.project, "conversion_goal", ident)
    body = writable(version.body)
    editing: dict[str, Any] = {"id": ident, "revision": version.revision, "status": body.get("status", "active")}
    editing["name"] = body["name"]
    form = conversion_goal_form.to_form(body)
    return said(request, _form(key, form, Faults(), editing, warnings=warnings_for(request)))


@pages.post(HERE + "/{ident}")
async def edit(request: Request, ident: str, key: WRITER) -> Response:
    form, faults = await read_form(request), Faults()
    body = conversion_goal_form.to_body(form, faults)
    revision = revision_of(form)
    changes = {name: body.get(name) for name in conversion_goal_form.FIELDS}
    await limit(request, key, "writes", 1)
    with faults.of_saving(conversion_goal_form.FIELDS):
        if not faults.by_field:
            defining = services_of(request).defining
            done = await defining.edit_conversion_goal(key.project, ident, changes, key.id, revision=revision)
            return await _saved(request, key, done)
    return _form(key, form, faults, {"id": ident, "revision": revision, "name": form.text("name")})


@pages.post(HERE + "/{ident}/status")
async def set_status(request: Request, ident: str, key: WRITER) -> Response:
    """Pause, archive, or count again: from now on."""
    form = await read_form(request)
    await limit(request, key, "writes", 1)
    changes = {"status": form.text("status")}
    done = await services_of(request).defining.edit_conversion_goal(key.project, ident, changes, key.id)
    return go_on(request, f"{HERE}/{ident}", done.warnings, at_rest=f"{HERE}#{ident}")


@pages.post(HERE + "/{ident}/delete")
async def delete(request: Request, ident: str, key: WRITER) -> Response:
    await read_form(request)
    await limit(request, key, "writes", 1)
    await services_of(request).defining.delete_conversion_goal(key.project, ident, key.id)
    return RedirectResponse(HERE, 303)


async def _saved(request: Request, key: Key, done: Defined) -> Response:
    """To the list; where something is said against what was saved, to its form, which says it."""
    version = done.version
    warnings = await warnings_of(services_of(request), key.project, version.body)
    place = f"{HERE}/{version.id}"
    return go_on(request, place, [*done.warnings, *warnings], at_rest=f"{HERE}#{version.id}")


def _form(
    key: Key,
    form: Form,
    faults: Faults,
    editing: Mapping[str, Any] | None = None,
    *,
    warnings: Sequence[str] = (),
) -> Response:
    filled = conversion_goal_form.rows(form)
    return page(
        "conversion_goal_form.html",
        422 if faults.by_field else 200,
        key=key,
        within=HERE,
        form=form,
        faults=faults.by_field,
        editing=editing,
        rows=[*filled, *[Row()] * _EMPTY_ROWS],
        operators=OPERATORS,
        counting=conversion_goal_form.COUNTING,
        may_write=key.may("write"),
        warnings=warnings,
    )


def _asks(definition: Mapping[str, Any]) -> list[str]:
    """What a definition asks of an event's data, in words."""
    try:
        compiled = compile_condition(definition["conditions"]) if definition.get("conditions") else None
    except InvalidDefinition:
        return ["its conditions cannot be read"]
    clauses = compiled.explain({}) if compiled else ()
    return [describe_wanted(clause) for clause in clauses]
