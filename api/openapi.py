"""The OpenAPI document: what the routes say, with the shapes of answers, who may ask, headers, and links.

A product like the API itself: clients are generated from it, and tests run every example and follow every link.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.answer_schemas import answer_schemas
from api.problem_schemas import problems
from api.schemas import SCHEMAS

_OPEN = {"isLive", "isReady", "metrics"}
_IDEMPOTENT = {
    "createGoal",
    "createConversionGoal",
    "createAlert",
    "testAlert",
    "publishEvents",
    "replayDeadLetters",
    "showGeneration",
}
_CONDITIONAL = {"editGoal", "deleteGoal", "editConversionGoal", "deleteConversionGoal"}
_TAGGED = {"listGoals", "getGoal", "listConversionGoals", "listExperiments", "getExperiment"}
_RESUMED = {"streamGoals"}
_PAGED = {"listConversionGoals": {"Link": {"description": "The next page.", "schema": {"type": "string"}}}}
_HEADERS = {
    "Idempotency-Key": "The first answer is given again for a day; the same key with another body is 422.",
    "If-Match": 'The revision that is to be changed, `"7"`; 412 when it was changed meanwhile.',
    "Last-Event-ID": "The `id` of the last event that came: what changed since then comes first.",
    "If-None-Match": "The ETag of a former answer; 304 when it is the same still.",
}
_TAKEN = {
    "Idempotency-Key": _IDEMPOTENT,
    "If-Match": _CONDITIONAL,
    "If-None-Match": _TAGGED,
    "Last-Event-ID": _RESUMED,
}
"""Header -> the operations that take it."""
_LINKS = {
    "createGoal": ("goals", "getGoal", "editGoal", "deleteGoal"),
    "createConversionGoal": ("conversion goals", None, "editConversionGoal", "deleteConversionGoal"),
}


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        shapes = answer_schemas()
        for methods in made["paths"].values():
            for method, operation in methods.items():
                _complete(operation, method, shapes.get(operation["operationId"]))
        made["servers"] = [{"url": "/"}]
        made["components"] = {
            "schemas": dict(sorted(SCHEMAS.items())),
            "securitySchemes": {
                "ApiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "Or `Authorization: Bearer` with the same key.",
                },
            },
        }
        app.openapi_schema = made
    return app.openapi_schema


def _complete(operation: dict[str, Any], method: str, shape: dict[str, Any] | None) -> None:
    name = operation["operationId"]
    answers: dict[str, Any] = operation["responses"]
    good = "201" if "201" in answers else "200"
    if shape is not None:
        content = answers[good].setdefault("content", {}).setdefault("application/json", {})
        content["schema"] = shape
    parameters = operation.setdefault("parameters", [])
    if name in _OPEN:
        operation["security"] = []
    else:
        operation["security"] = [{"ApiKey": []}]
        answers.setdefault("500", problems(500)[500])
        if "requestBody" in operation:
            answers.setdefault("408", problems(408)[408])
        _leave_out(answers, operation, method, name)
    if name == "isReady":
        answers["503"] = {**answers["200"], "description": "`missing` names the parts that do not answer."}
    parameters.extend(_header(header) for header, names in _TAKEN.items() if name in names)
    if name in _RESUMED:
        # FastAPI says so of every answer.
        answers["200"]["content"].pop("application/json", None)
    if name in _TAGGED:
        answers["304"] = {"description": "It is what the ETag stands for."}
        answers["200"]["headers"] = {"ETag": {"schema": {"type": "string"}}, **_PAGED.get(name, {})}
    if "503" in answers and name not in _OPEN:
        for status in ("429", "503"):
            answers[status] = {
                **answers[status],
                "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}},
            }
    if not parameters:
        del operation["parameters"]
    if name in _LINKS:
        answers[good]["links"] = _links(*_LINKS[name])
    operation["responses"] = dict(sorted(answers.items()))


def _leave_out(answers: dict[str, Any], operation: dict[str, Any], method: str, name: str) -> None:
    """Errors that this operation cannot answer with."""
    if "requestBody" not in operation:
        for status in ("400", "413", "415"):
            answers.pop(status, None)
    if name not in _CONDITIONAL:
        answers.pop("412", None)
    if method == "get":
        answers.pop("409", None)
    operation["responses"] = answers


def _header(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name == "Idempotency-Key":
        schema |= {"minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"}
    return {"name": name, "in": "header", "required": False, "description": _HEADERS[name], "schema": schema}


def _links(what: str, get: str | None, edit: str, delete: str) -> dict[str, Any]:
    ident = "$response.body#/id"
    found: dict[str, Any] = {
        "edit": {"operationId": edit, "requestBody": {"id": ident}, "description": f"Change it, one of the {what}."},
        "delete": {"operationId": delete, "parameters": {"id": ident}, "description": f"Delete it, one of the {what}."},
    }
    if get is not None:
        found["get"] = {"operationId": get, "parameters": {"goal_id": ident}, "description": "Read it again."}
    return found
