"""The page of a goal: how it stands, its form, its status by hand, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api.auth import limit, services_of
from api.dashboard import goal_form
from api.dashboard.forms import WRITER, Faults, Form, read_form, revision_of
from api.dashboard.pages import VISITOR, PageRoute, page
from api.dashboard.saying import go_on, said, warnings_for
from api.services import Key, Services
from app.patience import ask_sql

pages = APIRouter(route_class=PageRoute, include_in_schema=False)


@pages.get("/goals/new")
async def show_new_goal(request: Request, key: VISITOR, metric: str = "") -> Response:
    form = Form([("metric", metric)] if metric else [])
    return await _form(request, key, form, Faults())


@pages.post("/goals/new")
async def create_goal(request: Request, key: WRITER) -> Response:
    form, faults = await read_form(request), Faults()
    body = goal_form.to_body(form, faults)
    await limit(request, key, "writes", 1)
    with faults.of_saving(goal_form.FIELDS):
        if not faults.by_field:
            done = await services_of(request).defining.create_goal(key.project, body, key.id)
            return go_on(request, f"/goals/{done.version.id}", done.warnings)
    return await _form(request, key, form, faults)


@pages.get("/goals/{goal_id}")
async def show_goal(request: Request, goal_id: str, key: VISITOR) -> Response:
    services = services_of(request)
    report, conversion_goals = await asyncio.gather(
        services.reporter.goal(key.project, goal_id, services.now()),
        services.reporter.list_conversion_goals(key.project),
    )
    goal = report.items[0]
    project = await ask_sql(services.definitions.project, key.project)
    shown = page(
        "goal.html",
        key=key,
        within="/",
        goal=goal,
        feeds=feeding(goal, conversion_goals.items),
        time_zone=project.time_zone,
        may_write=key.may("write"),
        warnings=warnings_for(request),
    )
    return said(request, shown)


@pages.get("/goals/{goal_id}/edit")
async def show_edit_goal(request: Request, goal_id: str, key: VISITOR) -> Response:
    version = await ask_sql(services_of(request).definitions.get, key.project, "goal", goal_id)
    form = goal_form.to_form(version.body)
    return await _form(request, key, form, Faults(), {"id": goal_id, "revision": version.revision})


@pages.post("/goals/{goal_id}/edit")
async def save_goal(request: Request, goal_id: str, key: WRITER) -> Response:
    form, faults = await read_form(request), Faults()
    revision = revision_of(form)
    body = goal_form.to_body(form, faults)
    changes = {name: body.get(name) for name in goal_form.FIELDS}
    await limit(request, key, "writes", 1)
    with faults.of_saving(goal_form.FIELDS):
        if not faults.by_field:
            edit_goal = services_of(request).defining.edit_goal
            done = await edit_goal(key.project, goal_id, changes, key.id, revision=revision)
            return go_on(request, f"/goals/{goal_id}", done.warnings)
    return await _form(request, key, form, faults, {"id": goal_id, "revision": revision})


@pages.post("/goals/{goal_id}/status")
async def set_status(request: Request, goal_id: str, key: WRITER) -> Response:
    """The status by hand; empty gives it back to the figures."""
    form = await read_form(request)
    await limit(request, key, "writes", 1)
    changes = {"status": form.text("status") or None}
    done = await services_of(request).defining.edit_goal(key.project, goal_id, changes, key.id)
    return go_on(request, f"/goals/{goal_id}", done.warnings)


@pages.post("/goals/{goal_id}/delete")
async def delete_goal(request: Request, goal_id: str, key: WRITER) -> Response:
    await read_form(request)
    await limit(request, key, "writes", 1)
    await services_of(request).defining.delete_goal(key.project, goal_id, key.id)
    return RedirectResponse("/", 303)


def feeding(goal: Mapping[str, Any], conversion_goals: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The conversion goals that feed the goal, and those that a rate is a part of."""
    idents = goal.get("conversionGoalIds")
    found = []
    for one in conversion_goals:
        if one["id"] in idents if idents else one["metric"] == goal["metric"]:
            found.append({**one, "role": "counts"})
        if one["metric"] == goal.get("denominatorMetric"):
            found.append({**one, "role": "100 %"})
    return found


async def _form(
    request: Request, key: Key, form: Form, faults: Faults, editing: Mapping[str, Any] | None = None
) -> Response:
    services = services_of(request)
    present = await _conversion_goals(services, key.project)
    project = await ask_sql(services.definitions.project, key.project)
    return page(
        "goal_form.html",
        422 if faults.by_field else 200,
        key=key,
        within="/",
        form=form,
        faults=faults.by_field,
        editing=editing,
        conversion_goals=[*present, *_deleted(form, present)],
        metrics=sorted({str(one["metric"]) for one in present}),
        aggregations=goal_form.AGGREGATIONS,
        periods=goal_form.PERIODS,
        time_zone=project.time_zone,
        may_write=key.may("write"),
    )


def _deleted(form: Form, present: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Those that the form has chosen and that are gone. Ticked still: a goal of these alone would be one of all
    conversion goals of its metric otherwise."""
    known = {one["id"] for one in present}
    return [
        {"id": ident, "name": "a deleted conversion goal", "metric": ident}
        for ident in form.texts("conversionGoalIds")
        if ident not in known
    ]


async def _conversion_goals(services: Services, project: str) -> list[dict[str, Any]]:
    _, versions = await ask_sql(services.definitions.current, project, "conversion_goal")
    return [{"id": version.id, **version.body} for version in versions]
