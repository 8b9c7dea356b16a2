"""Which pages of other sites may use the API: those of an exact list, without cookies."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from api.problems import Problem, respond

_SENT = ("x-api-key", "authorization", "content-type", "idempotency-key", "if-match", "if-none-match")
_SHOWN = ("etag", "location", "link", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id")


class _Cors(CORSMiddleware):
    """Starlette's, which refuses in plain text."""

    def preflight_response(self, request_headers: Headers) -> Response:
        allowed = super().preflight_response(request_headers)
        if allowed.status_code < 400:
            return allowed
        refused = respond(Problem(400, f"{bytes(allowed.body).decode()}.", code="cors_refused"))
        refused.headers.update(
            {k: v for k, v in allowed.headers.items() if k.startswith("access-control") or k == "vary"}
        )
        return refused


def install(app: FastAPI, origins: Sequence[str]) -> None:
    app.add_middleware(
        _Cors,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=list(_SENT),
        expose_headers=list(_SHOWN),
    )
