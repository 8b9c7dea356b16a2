"""Writes the reference pages from the code while mkdocs builds: they cannot tell anything else than the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from api.dashboard.reasons import REASONS
from api.dashboard.reference import Operation, operations
from api.main import create_app
from api.problems import CODES, TITLES
from api.schemas import ConversionGoalIn, GoalIn
from app.cli.main import command_line
from app.domain.native import Message
from app.errors import Reason
from config.settings import Settings, variable_of

INTO_ONE_FIELD = re.compile(r"\s+")

MEANINGS = {
    "type": ("text of 1 to 200 characters", "What happened; the one field that an event must have.", "event_type"),
    "projectKey": (
        "text",
        "Which project; else the Kafka header `project`, else the default project.",
        "project_id project",
    ),
    "id": (
        "text of 1 to 200 characters",
        "Its identity: the same id in a project counts once within the window.",
        "event_id message_id",
    ),
    "timestamp": ("RFC 3339 or epoch milliseconds", "When it happened; else when the broker received it.", ""),
    "url": ("absolute URL or a path", "Where it happened.", ""),
    "userId": ("text", "Who; the subject, where it is given.", ""),
    "visitorId": ("text", "Who; the subject where there is no `userId`.", "anonymous_id"),
    "sessionId": ("text", "For `once_per_session`.", ""),
    "data": ("object", "The event's properties: what conditions and `valueProperty` look at.", "properties"),
    "retracts": ("text", "With the type `$retract`: the id of the event that is taken back.", ""),
    "restates": ("text", "With the type `$restate`: the id of the event whose properties were wrong.", ""),
    "restatedData": ("object", "With the type `$restate`: the properties that hold.", ""),
    "experiments": ("object of texts", "Experiment -> variant, as assigned when it happened.", ""),
}
"""Event field -> (type, meaning, aliases by their names in the code)."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """mkdocs calls this once it knows the pages that people wrote."""
    for name, make in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    return files


def settings_page() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        default = "" if field.default is None else f"`{getattr(field.default, 'value', field.default)}`"
        rows.append((f"`{variable_of(name)}`", default, str(extra.get("unit", "")), field.description or ""))
    return "\n".join(
        [
            "# Settings",
            "",
            "From the command line, else the environment, else the TOML file that `--config FILE` or "
            "`SCOREKEEPER_CONFIG` names (there in lower case and without the prefix), else the default. A wrong or "
            "unknown one stops the start and is named. `scorekeeper settings` shows what is in force.",
            "",
            *table(("variable", "default", "unit", "meaning"), rows),
        ]
    )


def commands_page() -> str:
    lines = [
        "# Commands",
        "",
        "Exit code 0: good. 1: the answer is no, or a part is away. 2: wrong use. 130: Ctrl-C.",
        "",
    ]
    lines += _commands(typer.main.get_command(command_line()), "scorekeeper")
    return "\n".join(lines)


def _commands(command: Any, path: str) -> Iterable[str]:
    inner = getattr(command, "commands", None)
    if inner and path == "scorekeeper":
        for name, one in inner.items():
            yield from _commands(one, f"{path} {name}")
        return
    yield f"## `{path}`"
    yield ""
    yield from (line.strip() for line in (command.help or "").splitlines())
    yield ""
    options = [(f"`{_names(one)}`", _said(one)) for one in command.params if one.name != "help"]
    yield from table(("option", "meaning"), options) if options else []
    yield ""
    for name, one in (inner or {}).items():
        yield from _commands(one, f"{path} {name}")


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.human_readable_name)
    return ", ".join(parameter.opts)


def _said(parameter: Any) -> str:
    return INTO_ONE_FIELD.sub(" ", getattr(parameter, "help", "") or "")


def definitions_page() -> str:
    lines = ["# Fields of definitions", "", "As the API and `scorekeeper apply` take them."]
    for title, model in (("Conversion goal: which events count", ConversionGoalIn), ("Goal: what is shown", GoalIn)):
        rows = [
            (f"`{name}`", "yes" if field.is_required() else "", field.description or "")
            for name, field in model.model_fields.items()
        ]
        lines += ["", f"## {title}", "", *table(("field", "required", "meaning"), rows)]
    return "\n".join(lines)


def events_page() -> str:
    rows = [
        (f"`{name}`", " ".join(f"`{camel(alias)}`" for alias in aliases.split()), kind, meaning)
        for name, (kind, meaning, aliases) in MEANINGS.items()
    ]
    return "\n".join(
        [
            "# Event fields",
            "",
            "One JSON document a message. Fields that are not listed are left alone. A batch is "
            '`{"events": [...]}`: what stands beside `events` completes each. CloudEvents 1.0 '
            "(structured and binary) and Segment's `track`, `page` and `screen` are understood as well.",
            "",
            *table(("field", "other names", "type", "meaning"), rows),
            "",
            "## Why an event cannot be counted",
            "",
            "It goes to the dead-letter topic with one of these reasons: `scorekeeper dead-letters list`.",
            "",
            *table(("reason", "meaning", "what to do"), [(f"`{reason}`", *REASONS[reason]) for reason in Reason]),
        ]
    )


def errors_page() -> str:
    general = [(str(status), f"`{code}`", title) for status, (code, title) in TITLES.items()]
    special = [(str(status), f"`{code}`", title) for code, (status, title) in sorted(CODES.items())]
    return "\n".join(
        [
            "# Errors of the API",
            "",
            "Every error is a problem document (RFC 9457) with `error` and `code` besides. 429 and 503 say in "
            "`Retry-After` when to try again; a POST with an `Idempotency-Key` may be repeated at any time.",
            "",
            *table(("status", "code", "meaning"), general),
            "",
            "## Codes that tell more",
            "",
            *table(("status", "code", "meaning"), special),
        ]
    )


class _Unwired:
    """In place of the API's services: its document needs none that works."""

    def __getattr__(self, name: str) -> None:
        return None


def api_page() -> str:
    document = create_app(cast(Any, _Unwired())).openapi()
    lines = [
        "# API calls",
        "",
        "Each call three times: with curl, from Python (`httpx`) and from JavaScript. `URL` is where the API is, "
        "`KEY` an API key. A typed client comes from the document at `/openapi.json`, for example by `openapi-python-client`.",
    ]
    for tag, group in operations(document):
        lines += ["", f"## {tag.capitalize()}"]
        for one in group:
            lines += ["", f"### {one.summary}", "", f"`{one.method} {one.path}`", "", one.description, ""]
            if one.parameters:
                lines += [*table(("name", "where", "meaning"), [(f"`{n}`", w, m) for n, w, m in one.parameters]), ""]
            for language, code in examples(one).items():
                lines += [f"```{language}", code, "```", ""]
    return "\n".join(lines)


def examples(one: Operation) -> dict[str, str]:
    """The call by language. Where a path has a parameter, a name stands for it."""
    body = one.example.partition("-d '")[2].removesuffix("'")
    headers = {"x-api-key": "KEY"} if one.path.startswith("/api/") else {}
    return {"sh": one.example, "python": _python(one, headers, body), "javascript": _javascript(one, headers, body)}


def _python(one: Operation, headers: dict[str, str], body: str) -> str:
    given = ", ".join(f'"{name}": {value}' for name, value in headers.items())
    parts = [f'"{one.method}"', f'URL + "{one.path}"', f"headers={{{given}}}" if given else ""]
    parts.append(f"json={json.loads(body)!r}" if body else "")
    call = f"httpx.request({', '.join(part for part in parts if part)})"
    return f"import httpx\n\nanswer = {call}\nprint(answer.status_code, answer.text)"


def _javascript(one: Operation, headers: dict[str, str], body: str) -> str:
    given = [f'"{name}": {value}' for name, value in headers.items()]
    given += ['"content-type": "application/json"'] if body else []
    parts = [f'method: "{one.method}"', f"headers: {{ {', '.join(given)} }}" if given else ""]
    parts.append(f"body: JSON.stringify({body})" if body else "")
    options = ", ".join(part for part in parts if part)
    call = f'const answer = await fetch(URL + "{one.path}", {{ {options} }});'
    return f"{call}\nconsole.log(answer.status, await answer.text());"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


IN_WORDS = {"events", "specversion"}
"""Fields that make a message a batch or a CloudEvent: the page has sentences about them."""


def undescribed_event_fields() -> set[str]:
    """Fields that are read and that no row describes; a test wants none."""
    described = {camel(alias) for _, _, aliases in MEANINGS.values() for alias in aliases.split()} | set(MEANINGS)
    return {camel(name) for name in Message.__struct_fields__} - described - IN_WORDS


PAGES: dict[str, Callable[[], str]] = {
    "settings": settings_page,
    "commands": commands_page,
    "definitions": definitions_page,
    "events": events_page,
    "errors": errors_page,
    "api": api_page,
}
