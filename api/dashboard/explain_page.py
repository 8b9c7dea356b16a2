"""Explain: one event, held against every definition, clause by clause. All of it is rendered here."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import limit, services_of
from api.dashboard.forms import read_form
from api.dashboard.pages import VISITOR, PageRoute, page
from api.problems import Problem, to_problem
from api.routes.recent import RECENT, show_event
from api.routes.trying import explain_body
from api.services import Key, Services
from app.domain.event import Event
from app.errors import InvalidEvent, StoreUnavailable

_PICKED = 12
_PATIENCE_SECONDS = 1.2
pages = APIRouter(route_class=PageRoute, include_in_schema=False)


@pages.get("/explain")
async def show_explain(request: Request, key: VISITOR) -> Response:
    return await _explain(request, key, "", None)


@pages.post("/explain")
async def explain_one(request: Request, key: VISITOR) -> Response:
    text = (await read_form(request)).text("event").strip()
    await limit(request, key, "reads", 1)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}, character {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        return await _explain(request, key, text, None, f"This is not JSON{where}. Paste one event, in braces.")
    try:
        explained = await explain_body(services_of(request), key.project, {"event": found})
    except (InvalidEvent, Problem) as error:
        return await _explain(request, key, text, None, to_problem(error).detail)
    return await _explain(request, key, text, explained)


async def _explain(
    request: Request, key: Key, text: str, explained: dict[str, Any] | None, fault: str = ""
) -> Response:
    recent = await _recent(services_of(request), key.project)
    return page(
        "explain.html",
        422 if fault else 200,
        key=key,
        here="/explain",
        text=text,
        explained=explained,
        fault=fault,
        verdicts=_sorted(explained["verdicts"]) if explained else None,
        recent=recent,
    )


def _sorted(verdicts: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Those that match, those that nearly do (nearest first), and those that look at other types of events."""
    found: dict[str, list[dict[str, Any]]] = {"matching": [], "missing": [], "others": []}
    for verdict in verdicts:
        is_other = not verdict["clauses"][0]["holds"]
        found["matching" if verdict["matches"] else "others" if is_other else "missing"].append(verdict)
    found["missing"].sort(key=lambda verdict: sum(not clause["holds"] for clause in verdict["clauses"]))
    return found


async def _recent(services: Services, project: str) -> list[dict[str, Any]] | None:
    """The newest events, of each type at least one as far as they reach; None when the log cannot be read now."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            events = await services.recent.recent(project, RECENT)
    except (StoreUnavailable, TimeoutError):
        return None
    newest = list(reversed(events))
    first_of_type: dict[str, Event] = {}
    for event in newest:
        first_of_type.setdefault(event.type, event)
    picked = list(first_of_type.values())[:_PICKED]
    picked += [event for event in newest[: 2 * _PICKED] if all(event is not one for one in picked)]
    picked = sorted(picked[:_PICKED], key=lambda event: -event.occurred_at)
    return [{**show_event(event), "json": _as_json(event)} for event in picked]


def _as_json(event: Event) -> str:
    shown = show_event(event)
    fields = {"timestamp": shown.pop("occurredAt")} | shown
    del fields["receivedAt"]
    order = ("type", "id", "timestamp", "url", "userId", "visitorId", "sessionId", "data")
    return json.dumps(
        {name: fields[name] for name in order if fields.get(name) not in (None, {})}, indent=2, ensure_ascii=False
    )
