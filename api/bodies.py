"""Reading and writing bodies: JSON objects within limits, entity tags, and answers that are given once.

Definitions are checked by the domain, which names each wrong field; the schemas here are for the documentation.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from fastapi import Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import Response

from api.auth import services_of
from api.middleware import ANSWER_SECONDS
from api.problems import Problem, respond, to_problem
from api.services import Key
from app.domain.definition_fields import Fields
from app.errors import Conflict
from app.patience import ask_sql

MAX_DEPTH = 16
GRACE_SECONDS = 5.0
"""Beyond the time that an answer may take: a thread that was given up may be done with its statement a little later."""
_encode: Final = msgspec.json.Encoder(enc_hook=jsonable_encoder, decimal_format="number").encode
"""A list of a thousand goals is walked in C; what is no plain value goes through FastAPI's encoder."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def read_object(request: Request, *, may_repeat: bool = False) -> dict[str, Any]:
    """The request's JSON object. `may_repeat`: the last of several fields of one name holds, as in events of the log.
    Raises Problem."""
    found = await read_json(request, may_repeat=may_repeat)
    if not isinstance(found, dict):
        raise Problem(422, "The body has to be a JSON object.", errors=[{"pointer": "", "problem": "not an object"}])
    return found


def refuse_unknown(body: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Raises InvalidDefinition for fields that are not among `names`."""
    Fields(body, names).finish()


async def read_json(request: Request, *, may_repeat: bool = False) -> Any:
    """The request's JSON value; see `read_object`. Raises Problem."""
    text = await read_text(request)
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=None if may_repeat else _without_repetition,
        )
    except _RepeatedFieldError as error:
        detail = (
            f"The body names the field {str(error)!r} twice in one object, and only one of them can hold; keep one."
        )
        raise Problem(400, detail, code="invalid_json") from error
    except _NoNumberError as error:
        detail = f"The body is not JSON: {error} is no number. Give a finite one, like 1000 or 19.9."
        raise Problem(400, detail, code="invalid_json") from error
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise Problem(400, f"The body is not JSON{where}.", code="invalid_json") from error


async def read_text(request: Request) -> str:
    """The request's body: Unicode, of a JSON type, and not nested too deeply. Not parsed yet. Raises Problem."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Problem(415, f"The body has to be application/json, not {kind[:100]!r}.")
    raw = await request.body()
    if not raw:
        raise Problem(400, "The body is empty; send a JSON object.", code="empty_body")
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and depth_of(raw) > MAX_DEPTH:
        raise Problem(422, f"The body is nested deeper than {MAX_DEPTH} levels.", code="too_deep")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Problem(400, f"The body is not UTF-8 at byte {error.start}.", code="invalid_json") from error
    if _SURROGATE.search(raw):
        try:
            msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            raise Problem(
                400, "The body is not JSON, or holds half of a surrogate pair.", code="invalid_json"
            ) from error
    return text


class _NoNumberError(ValueError):
    """A number as JSON has none, or as no answer could repeat it."""


class _RepeatedFieldError(ValueError):
    """JSON does not say which of the two holds (RFC 8259, section 4)."""


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _RepeatedFieldError(name[:80])
        found[name] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise _NoNumberError(name)


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise _NoNumberError(text[:40])
    return found


def depth_of(raw: bytes) -> int:
    """How deep the brackets nest, strings aside."""
    deepest = depth = 0
    in_string = escaped = False
    for byte in raw:
        if in_string:
            in_string = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def answer(request: Request, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The body as JSON, with the rate limit's state."""
    more = getattr(request.state, "limit_headers", {})
    return Response(_encode(body), status, {**more, **(headers or {})}, media_type="application/json")


def tagged(
    request: Request, body: Any, headers: Mapping[str, str] | None = None, *, memo: dict[str, Any] | None = None
) -> Response:
    """The body with an entity tag over all of it; 304 when the client has it.

    With the `memo` of a report that several requests share, it is written and hashed once for all of them.
    """
    kept = memo if memo is not None else {}
    if "json" not in kept:
        kept["json"] = _encode(body)
        kept["tag"] = f'"{hashlib.blake2b(kept["json"], digest_size=12).hexdigest()}"'
    tag: str = kept["tag"]
    more = {**getattr(request.state, "limit_headers", {}), "etag": tag, "cache-control": "private, no-cache"}
    known = request.headers.get("if-none-match", "")
    if tag in known or known.strip() == "*":
        return Response(status_code=304, headers=more)
    return Response(kept["json"], 200, {**more, **(headers or {})}, media_type="application/json")


def wanted_revision(request: Request) -> int | None:
    """The revision that `If-Match` asks for (`"7"`), None without. Raises Problem(412) for a tag that cannot match."""
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    try:
        return int(given.strip().removeprefix("W/").strip('"'))
    except ValueError:
        raise Problem(412, f"If-Match {given[:80]!r} is not this object's revision.") from None


def idempotency_key(request: Request) -> str | None:
    """The name that the client gave its request: what is created or published under it twice is the same."""
    return request.headers.get("idempotency-key")


def abandoned_ms(write_seconds: float) -> int:
    """After how long an answer that is still not there was cut off: any change is answered sooner."""
    return round((ANSWER_SECONDS + write_seconds + GRACE_SECONDS) * 1000)


async def once(request: Request, key: Key, act: Callable[[], Awaitable[Response]]) -> Response:
    """Run `act`, or with an Idempotency-Key that was used before give its first answer again.

    The same key with another body is 422; while the first is being worked on, 409. Once nobody can work on it any more
    (`abandoned_ms`) the first counts as cut off, and `act` runs again, although what the first did may stand: it takes
    its ids from the key where it can.
    """
    given = idempotency_key(request)
    if given is None:
        return await act()
    if not _KEY.fullmatch(given):
        raise Problem(422, "Idempotency-Key takes 1 to 255 printable characters.", code="invalid_idempotency_key")
    answers = services_of(request).answers
    mark = f"{request.method} {request.url.path}\0".encode() + await request.body()
    body_hash = hashlib.sha256(mark).hexdigest()
    try:
        known = await ask_sql(answers.begin, key.project, given, body_hash)
    except Conflict as error:
        raise Problem(409, f"{error}.", code="still_working", headers={"Retry-After": "1"}) from error
    if known is not None:
        status, text = known
        media = "application/problem+json" if status >= 400 else "application/json"
        return Response(text, status, {"Idempotency-Replayed": "true"}, media)
    try:
        response = await act()
    except Exception as error:
        problem = to_problem(error, request.state.request_id)
        if problem.status >= 500 or problem.status == 429:
            await ask_sql(answers.forget, key.project, given)
            raise problem from error
        response = respond(problem)
    text = bytes(response.body).decode()
    await ask_sql(answers.finish, key.project, given, response.status_code, text)
    return response
