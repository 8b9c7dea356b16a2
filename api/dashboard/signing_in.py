"""Sign in and out: an API key is exchanged for a session, and kept nowhere."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from api.auth import SESSION_COOKIE, doorkeeper_of, refuse_foreign_page, services_of
from api.bodies import read_object
from api.dashboard.forms import read_form
from api.dashboard.pages import PageRoute, page
from app.domain.api_key import SESSION_SECONDS
from app.errors import InvalidApiKey
from app.patience import ask_sql

_LOCAL_PATH = re.compile(r"/([A-Za-z0-9_.~-][A-Za-z0-9_.~/-]*)?")
pages = APIRouter(route_class=PageRoute, include_in_schema=False)
router = APIRouter(include_in_schema=False)


@pages.get("/sign-in")
async def show_sign_in(next: str = "/") -> Response:  # noqa: A002  # the name in the address
    return page("sign_in.html", next=local_path(next))


@pages.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """The form, without a script."""
    form = await read_form(request)
    wanted = local_path(form.text("next"))
    try:
        return await _signed_in(request, form.text("key"), RedirectResponse(wanted, 303))
    except InvalidApiKey as error:
        return page("sign_in.html", 401, next=wanted, problem=str(error))


@pages.post("/sign-out")
async def sign_out(request: Request) -> Response:
    await read_form(request)
    return await _signed_out(request, RedirectResponse("/sign-in", 303))


@router.get("/session")
async def read_session(request: Request) -> Response:
    """Whether the browser is signed in: 200, else 401."""
    key = await doorkeeper_of(request).identify(request)
    return JSONResponse({"project": key.project})


@router.get("/session/state")
async def read_session_state(request: Request) -> Response:
    """The same for the sign-in page, where nobody signed in is no error: a browser's console shows each 401."""
    try:
        await doorkeeper_of(request).identify(request)
    except InvalidApiKey:
        return JSONResponse({"signedIn": False})
    return JSONResponse({"signedIn": True})


@router.post("/session")
async def open_session(request: Request) -> Response:
    """An API key in, a session cookie out."""
    refuse_foreign_page(request)
    body = await read_object(request)
    return await _signed_in(request, str(body.get("apiKey", "")), JSONResponse({"signedIn": True}))


@router.delete("/session")
async def close_session(request: Request) -> Response:
    refuse_foreign_page(request)
    return await _signed_out(request, JSONResponse({"signedIn": False}))


def local_path(wanted: str) -> str:
    """The path, when it is one of this site; else the goals."""
    return wanted if _LOCAL_PATH.fullmatch(wanted) else "/"


async def _signed_in(request: Request, text: str, response: Response) -> Response:
    """`response` with the cookie of a new session. Raises InvalidApiKey."""
    key = await doorkeeper_of(request).admit(request, text.strip())
    token = await ask_sql(services_of(request).keys.open_session, key)
    is_secure = request.url.scheme == "https"
    response.set_cookie(
        SESSION_COOKIE, token, httponly=True, samesite="strict", secure=is_secure, max_age=SESSION_SECONDS
    )
    return response


async def _signed_out(request: Request, response: Response) -> Response:
    token = request.cookies.get(SESSION_COOKIE)
    if token is not None:
        await ask_sql(services_of(request).keys.close_session, token)
        doorkeeper_of(request).forget()
    response.delete_cookie(SESSION_COOKIE)
    return response
