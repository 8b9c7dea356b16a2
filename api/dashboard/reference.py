"""The API's reference, rendered from its OpenAPI document, and what its errors mean. Nothing comes from elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from api.dashboard.pages import page, visitor_if_any
from api.problems import CODES, TITLES
from api.services import Key

router = APIRouter()
_READER = Annotated[Key | None, Depends(visitor_if_any)]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as the page shows it."""

    name: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[tuple[str, str, str], ...]
    """(name, where, meaning) of parameters, then (name, "body", meaning) of the body's fields."""
    example: str


def operations(document: dict[str, Any]) -> list[tuple[str, list[Operation]]]:
    """The document's operations by tag, in its order."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            tag = (said.get("tags") or ["other"])[0]
            operation = _operation(path, method.upper(), said, document["components"]["schemas"])
            found.setdefault(tag, []).append(operation)
    return list(found.items())


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for; of several shapes the first, with the examples of all."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return {**_resolved(schema["anyOf"][0], components), "examples": schema.get("examples", [])}
    return schema


def _operation(path: str, method: str, said: dict[str, Any], components: dict[str, Any]) -> Operation:
    parameters = [
        (p["name"], p["in"], p.get("description", ""))
        for p in said.get("parameters", [])
        if p["in"] in {"path", "query"}
    ]
    schema: dict[str, Any] = {}
    body = said.get("requestBody")
    if body is not None:
        schema = _resolved(body["content"]["application/json"]["schema"], components)
        required = set(schema.get("required", ()))
        for name, meaning in schema.get("properties", {}).items():
            text = " ".join((meaning.get("description", ""), *_choices(meaning))).strip()
            parameters.append((name, "body, required" if name in required else "body", text))
    return Operation(
        said.get("operationId", f"{method} {path}"),
        method,
        path,
        said.get("summary", ""),
        said.get("description", ""),
        tuple(parameters),
        _curl(method, path, schema),
    )


def _choices(schema: dict[str, Any]) -> list[str]:
    """What a field may be, where it is one of a few."""
    shapes = [schema, *schema.get("anyOf", ())]
    return [f"One of: {', '.join(f'`{one}`' for one in shape['enum'])}." for shape in shapes if "enum" in shape]


def _curl(method: str, path: str, schema: dict[str, Any]) -> str:
    words = ["curl"]
    if method != "GET":
        words.append(f"-X {method}")
    words.append(f'"$URL{path}"')
    if path.startswith("/api/"):
        words.append('-H "x-api-key: $KEY"')
    if schema:
        example = (schema.get("examples") or [{}])[0]
        words.append("-H 'content-type: application/json'")
        words.append(f"-d '{json.dumps(example, ensure_ascii=False)}'")
    return " ".join(words)


@router.get("/docs", include_in_schema=False)
async def show_reference(request: Request, key: _READER) -> Response:
    document = request.app.openapi()
    return page("reference.html", key=key, groups=operations(document), description=document["info"]["description"])


@router.get("/docs/errors", include_in_schema=False)
async def show_errors(key: _READER) -> Response:
    rows = [(status, code, title) for status, (code, title) in TITLES.items()]
    rows += [(status, code, meaning) for code, (status, meaning) in CODES.items()]
    return page("errors.html", key=key, rows=sorted(rows))
