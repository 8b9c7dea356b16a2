"""What was said against a definition when it was saved, on its way to the page that is shown next.

In a cookie for that page alone: the next process may be another one, loading the page again neither saves again nor
says it again, and no link can put words into the page.
"""

from __future__ import annotations

import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

COOKIE: Final = "scorekeeper_warnings"
_SECONDS: Final = 60
_MOST: Final = 20
_LONGEST: Final = 500
"""Characters of a warning: one alone fits always."""
_MOST_CHARACTERS: Final = 3_000
"""With its name and path it has to stay below the 4,096 bytes that browsers keep."""
_MOST_BYTES: Final = 64 * 1024
"""Of what came back unpacked: a few bytes may stand for a gigabyte."""


def go_on(request: Request, place: str, warnings: Iterable[str], *, at_rest: str | None = None) -> Response:
    """To `place`, which shows what `warnings_for` tells it; without any, to `at_rest` where that is given."""
    texts = [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in warnings][:_MOST]
    if not texts:
        return RedirectResponse(at_rest or place, 303)
    response = RedirectResponse(place, 303)
    while len(packed := _pack(texts)) > _MOST_CHARACTERS:
        texts.pop()
    is_secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, packed, _SECONDS, path=place, httponly=True, samesite="strict", secure=is_secure)
    return response


def warnings_for(request: Request) -> list[str]:
    """What the page that was asked for has to say; nothing where the cookie is not ours."""
    packed = request.cookies.get(COOKIE)
    if packed is None:
        return []
    try:
        unpacked = zlib.decompressobj().decompress(urlsafe_b64decode(packed), _MOST_BYTES)
        found = json.loads(unpacked)
    except (ValueError, zlib.error):
        return []
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def said(request: Request, response: Response) -> Response:
    """The answer that shows `warnings_for` this request: they are not shown again."""
    if COOKIE in request.cookies:
        response.delete_cookie(COOKIE, path=request.url.path)
    return response


def _pack(texts: list[str]) -> str:
    return urlsafe_b64encode(zlib.compress(json.dumps(texts, ensure_ascii=False).encode())).decode()
