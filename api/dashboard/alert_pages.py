"""The pages of alerts: the list, the form, the secret that is shown once, one alert with its log.

All of it needs a key that may write: an address may be a secret itself, as chats' are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from api.auth import limit, services_of
from api.dashboard import alert_form
from api.dashboard.alert_words import describe_delivery, describe_when
from api.dashboard.forms import WRITER, Faults, Form, read_form
from api.dashboard.pages import VISITOR, PageRoute, page
from api.services import Key, Services
from app.alerting import edition_of
from app.domain.alerting import AlertStatus, When
from app.domain.deliveries import StoredAlert
from app.domain.moments import rfc3339
from app.patience import ask_sql

HERE = "/alerts"
DELETED = "a deleted goal"
_LOGGED = 50
_COOKIE = "scorekeeper_alert_secret"
_COOKIE_SECONDS = 300
pages = APIRouter(route_class=PageRoute, include_in_schema=False)


@pages.get(HERE)
async def list_alerts(request: Request, key: VISITOR) -> Response:
    """Who may only read is told so on a page with the navigation, since that leads here."""
    if not key.may("write"):
        return page("alerts.html", 403, key=key, here=HERE, may_write=False)
    services = services_of(request)
    alerts, last, names = await asyncio.gather(
        services.alerts.list(key.project),
        services.alerts.last_deliveries(key.project),
        _goal_names(services, key.project),
    )
    lines = {ident: describe_delivery(one) for ident, one in last.items()}
    items = [{**_shown(alert, names), "last": lines.get(alert.id)} for alert in alerts]
    return page("alerts.html", key=key, here=HERE, may_write=True, items=items)


@pages.get(f"{HERE}/new")
async def show_new(request: Request, key: WRITER) -> Response:
    return await _form(request, key, Form(), Faults())


@pages.post(f"{HERE}/new")
async def create(request: Request, key: WRITER) -> Response:
    """The secret travels to the next page in a cookie for that page alone, since the next process may be another one;
    loading a page again neither makes a second alert nor shows the secret again."""
    form, faults = await read_form(request), Faults()
    body = alert_form.to_body(form, faults)
    await limit(request, key, "writes", 1)
    with faults.of_saving(alert_form.FIELDS):
        if not faults.by_field:
            made, secret = await services_of(request).alerts.create(key.project, body, key.id)
            place = f"{HERE}/{made.id}/secret"
            told = RedirectResponse(place, 303)
            is_secure = request.url.scheme == "https"
            told.set_cookie(
                _COOKIE, secret, _COOKIE_SECONDS, path=place, httponly=True, samesite="strict", secure=is_secure
            )
            return told
    return await _form(request, key, form, faults)


@pages.get(HERE + "/{ident}")
async def show_alert(request: Request, ident: str, key: WRITER) -> Response:
    services = services_of(request)
    alert, names, log = await asyncio.gather(
        services.alerts.get(key.project, ident),
        _goal_names(services, key.project),
        services.alerts.deliveries(key.project, ident, _LOGGED),
    )
    rows = [describe_delivery(one) for one in log]
    return page("alert.html", key=key, within=HERE, alert=_shown(alert, names), log=rows, most=_LOGGED)


@pages.get(HERE + "/{ident}/edit")
async def show_edit(request: Request, ident: str, key: WRITER) -> Response:
    alert = await services_of(request).alerts.get(key.project, ident)
    editing = {"id": ident, "edition": edition_of(alert)}
    return await _form(request, key, alert_form.to_form(alert.body), Faults(), editing)


@pages.post(HERE + "/{ident}/edit")
async def edit(request: Request, ident: str, key: WRITER) -> Response:
    """Its id, state, secret and log stay."""
    form, faults = await read_form(request), Faults()
    edition = form.text("edition") or None
    body = alert_form.to_body(form, faults)
    changes = {name: body.get(name) for name in alert_form.FIELDS}
    await limit(request, key, "writes", 1)
    with faults.of_saving(alert_form.FIELDS):
        if not faults.by_field:
            await services_of(request).alerts.edit(key.project, ident, changes, key.id, edition=edition)
            return RedirectResponse(f"{HERE}/{ident}", 303)
    return await _form(request, key, form, faults, {"id": ident, "edition": edition or ""})


@pages.get(HERE + "/{ident}/secret")
async def show_secret(request: Request, ident: str, key: WRITER) -> Response:
    """Once; then the alert."""
    alert = await services_of(request).alerts.get(key.project, ident)
    secret = request.cookies.get(_COOKIE)
    if secret is None:
        return RedirectResponse(f"{HERE}/{ident}", 303)
    shown = page("alert_secret.html", key=key, within=HERE, alert=alert, secret=secret)
    shown.delete_cookie(_COOKIE, path=request.url.path)
    return shown


@pages.get(HERE + "/{ident}/log")
async def read_log(request: Request, ident: str, key: WRITER) -> Response:
    """The lines of the log, in the words of the page."""
    await limit(request, key, "page_reads", 1)
    log = await services_of(request).alerts.deliveries(key.project, ident, _LOGGED)
    return JSONResponse([describe_delivery(one) for one in log])


@pages.post(HERE + "/{ident}/test")
async def send_test(request: Request, ident: str, key: WRITER) -> Response:
    await read_form(request)
    await limit(request, key, "writes", 1)
    services = services_of(request)
    await services.alerts.test(key.project, ident, services.now())
    return RedirectResponse(f"{HERE}/{ident}#log", 303)


@pages.post(HERE + "/{ident}/status")
async def set_status(request: Request, ident: str, key: WRITER) -> Response:
    """Pause, or go on: what became of goals meanwhile is not told. Leads back to the page that the form stood on."""
    form = await read_form(request)
    await limit(request, key, "writes", 1)
    changes = {"status": form.text("status")}
    await services_of(request).alerts.edit(key.project, ident, changes, key.id)
    return RedirectResponse(f"{HERE}/{ident}" if form.text("back") == "alert" else f"{HERE}#{ident}", 303)


@pages.post(HERE + "/{ident}/delete")
async def delete(request: Request, ident: str, key: WRITER) -> Response:
    await read_form(request)
    await limit(request, key, "writes", 1)
    await services_of(request).alerts.delete(key.project, ident, key.id)
    return RedirectResponse(HERE, 303)


async def _form(
    request: Request, key: Key, form: Form, faults: Faults, editing: Mapping[str, str] | None = None
) -> Response:
    names = await _goal_names(services_of(request), key.project)
    # Ticked still: an alert of deleted goals alone would be one of all goals otherwise.
    gone = dict.fromkeys((ident for ident in form.texts("goalIds") if ident not in names), DELETED)
    return page(
        "alert_form.html",
        422 if faults.by_field else 200,
        key=key,
        within=HERE,
        form=form,
        faults=faults.by_field,
        editing=editing,
        choices=alert_form.CHOICES,
        goals=[*sorted(names.items(), key=lambda one: one[1].lower()), *gone.items()],
    )


async def _goal_names(services: Services, project: str) -> dict[str, str]:
    """Goal -> as lists call it."""
    _, versions = await ask_sql(services.definitions.current, project, "goal")
    return {one.id: str(one.body.get("description") or one.body["metric"]) for one in versions}


def _shown(alert: StoredAlert, names: Mapping[str, str]) -> dict[str, Any]:
    """`goals`: those that it is limited to, by name; None: all; empty where it is not about goals."""
    idents = alert.body.get("goalIds")
    chosen = None if idents is None else [names.get(ident, DELETED) for ident in idents]
    return {
        "id": alert.id,
        "name": alert.body["name"],
        "url": alert.body["url"],
        "when": describe_when(alert.body),
        "goals": [] if alert.body["when"] == When.STALE else chosen,
        "is_paused": alert.body.get("status") == AlertStatus.PAUSED,
        "created_at": rfc3339(alert.created_at),
    }
