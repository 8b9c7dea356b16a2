"""The file that `export` writes and `apply` reads: one YAML document a project.

project: web-shop              # its key
name: Web Shop                 # read when the project is created, like the time zone
timeZone: Europe/Berlin
conversionGoals: [...]         # the API's fields, and an `id` that may be left out
goals: [...]
alerts: [...]                  # where it is left out, alerts stay as they are
history: {...}                 # every version that ever acted; read when the project is created
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.cli.yaml_source import Document, Unreadable, problem_lines, read_documents
from app.defining import check_time_zone, project_key
from app.domain.conversion_goal import FOREVER
from app.domain.declaring import ALERT, CONVERSION_GOAL, GOAL, Declared, declare
from app.domain.definition_fields import unknown_field
from app.domain.deliveries import StoredAlert
from app.domain.history import DefinitionVersion, Project
from app.domain.json_values import find_unwritable
from app.errors import InvalidDefinition, raise_together

LISTS: Final = {"conversionGoals": CONVERSION_GOAL, "goals": GOAL}
ALERTS: Final = "alerts"
FIELDS: Final = ("project", "name", "timeZone", *LISTS, ALERTS, "history")
_ANY_ADDRESS: Final = "https://example.com/"
"""Stands for one that is wrong, so that the other fields are judged."""
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_VERSION: Final = {"kind": str, "id": str, "createdAt": int, "from": int, "body": dict}


@dataclass(frozen=True, slots=True)
class Declaration:
    """One document, checked. `versions` is empty when it holds no history; `has_alerts`: it says what alerts there are,
    so that others may be pruned."""

    file: str
    document: Document
    project: str
    name: str
    time_zone: str | None
    declared: Sequence[Declared]
    has_alerts: bool = False
    created_at: int = 0
    versions: Sequence[DefinitionVersion] = field(default=())

    def as_project(self, created_at: int) -> Project:
        return Project(self.project, self.name, self.time_zone or "UTC", created_at)

    def present(self) -> list[DefinitionVersion]:
        """What is in force once the history is restored."""
        return [version for version in self.versions if version.effective_until == FOREVER]


def written(
    project: Project, versions: Sequence[DefinitionVersion], alerts: Sequence[StoredAlert], *, with_history: bool
) -> dict[str, Any]:
    """The document of a project, out of the history of all. `alerts` are its own; what signs them stays here."""
    own = [version for version in versions if version.project == project.key]
    present = sorted((v for v in own if v.effective_until == FOREVER), key=lambda v: (v.created_at, v.id))
    document: dict[str, Any] = {"project": project.key, "name": project.name, "timeZone": project.time_zone}
    for name, kind in LISTS.items():
        document[name] = [{"id": version.id, **version.body} for version in present if version.kind == kind]
    document[ALERTS] = [{"id": alert.id, **alert.body} for alert in alerts]
    if with_history:
        acted = [version for version in own if version.effective_from < version.effective_until]
        document["history"] = {"createdAt": project.created_at, "versions": [_written(version) for version in acted]}
    return document


def _written(version: DefinitionVersion) -> dict[str, Any]:
    until = {} if version.effective_until == FOREVER else {"until": version.effective_until}
    return {
        "kind": version.kind,
        "id": version.id,
        "createdAt": version.created_at,
        "from": version.effective_from,
        **until,
        "body": dict(version.body),
    }


def read_declarations(
    file: str, text: str, project: str | None, *, allow_private: bool
) -> tuple[list[Declaration], list[str]]:
    """The file's declarations, and what is wrong with it: one line each, with its place. `allow_private`: alerts may
    have addresses that are not public."""
    try:
        documents = read_documents(text)
    except Unreadable as error:
        line, column = error.place
        return [], [f"{file}:{line}:{column}: {error}"]
    if not documents:
        return [], [f"{file}:1:1: it is empty: declare `project`, `conversionGoals` and `goals`."]
    found: list[Declaration] = []
    problems: list[str] = []
    for document in documents:
        reader = _Reading(file, document, allow_private=allow_private)
        declaration = reader.read(project)
        problems += reader.problems
        if declaration is None:
            continue
        if any(one.project == declaration.project for one in found):
            line, column = document.place("/project")
            problems.append(f"{file}:{line}:{column}: project: {declaration.project!r} has a document already.")
        found.append(declaration)
    return found, problems


class _Reading:
    def __init__(self, file: str, document: Document, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._file = file
        self._document = document
        self.problems: list[str] = []

    def read(self, project: str | None) -> Declaration | None:
        """None when too much is wrong to go on."""
        body = self._document.value
        if not isinstance(body, dict):
            self._refuse("", "it is no mapping.", f"It has the fields {', '.join(FIELDS)}.")
            return None
        for name in body:
            if name not in FIELDS:
                self.problems += problem_lines(self._file, self._document, unknown_field(name, FIELDS))
        key = body.get("project") or project
        if not isinstance(key, str):
            self._refuse("/project", "it is missing.", "Give the project's key as a text, or with --project.")
            return None
        if project is not None and key != project:
            self._refuse("/project", f"it is {key!r}, but --project says {project!r}.", "Leave one of them out.")
        zone = self._time_zone(body.get("timeZone"))
        self._check_key(key)
        for given in ("name", "history"):
            if found := find_unwritable(body.get(given), f"/{given}"):
                self._refuse(*found)
        name = key if body.get("name") is None else body["name"]
        if not isinstance(name, str):
            self._refuse("/name", f"{name!r} is no text.", "Put it into quotes, or leave it out.")
        declared = [one for field, kind in LISTS.items() for one in self._definitions(field, kind, body.get(field))]
        declared += self._definitions(ALERTS, ALERT, body.get(ALERTS))
        history = body.get("history")
        created_at, versions = self._history(history, key) if history is not None else (0, [])
        return Declaration(
            self._file,
            self._document,
            key,
            str(name),
            zone,
            declared,
            ALERTS in body,
            created_at,
            versions,
        )

    def _refuse(self, pointer: str, problem: str, remedy: str) -> None:
        self.problems += problem_lines(self._file, self._document, InvalidDefinition(pointer, problem, remedy))

    def _check_key(self, key: str) -> None:
        try:
            wanted = project_key(key)
        except InvalidDefinition as error:
            self._refuse("/project", error.problem, error.remedy)
            return
        if wanted != key:
            self._refuse("/project", f"{key!r} is no project key.", f"Did you mean {wanted!r}?")

    def _time_zone(self, zone: object) -> str | None:
        if zone is None:
            return None
        try:
            check_time_zone(zone)
        except InvalidDefinition as error:
            self._refuse(error.field, error.problem, error.remedy)
            return None
        return str(zone)

    def _definitions(self, name: str, kind: str, given: object) -> list[Declared]:
        if given is None:
            return []
        if not isinstance(given, list):
            self._refuse(f"/{name}", "it is no list.", "Begin each definition with `- `.")
            return []
        found = []
        for index, one in enumerate(given):
            place = f"/{name}/{index}"
            try:
                found.append(self._definition(kind, one, place))
            except InvalidDefinition as error:
                self.problems += problem_lines(self._file, self._document, error, place)
        return found

    def _definition(self, kind: str, one: object, place: str) -> Declared:
        if not isinstance(one, dict):
            raise InvalidDefinition("", "it is no mapping.", "Give the definition's fields.")
        problems = []
        if kind == ALERT:
            try:
                one = _with_address(one)
            except InvalidDefinition as error:
                problems.append(error)
                one = {**one, "url": _ANY_ADDRESS}
        try:
            declared = declare(kind, one, place, allow_private=self._allow_private)
        except InvalidDefinition as error:
            problems.append(error)
        raise_together(problems)
        return declared

    def _history(self, given: object, project: str) -> tuple[int, list[DefinitionVersion]]:
        remedy = "It is what `scorekeeper export` wrote: leave it as it is, or take `history` out."
        if not isinstance(given, dict) or not _is_moment(given.get("createdAt")):
            self._refuse("/history", "it has no `createdAt` in epoch milliseconds.", remedy)
            return 0, []
        rows = given.get("versions")
        if not isinstance(rows, list):
            self._refuse("/history", "it has no list `versions`.", remedy)
            return 0, []
        versions = []
        for index, row in enumerate(rows):
            version = _version(row, project)
            if version is None:
                self._refuse(f"/history/versions/{index}", "it is no version of a definition.", remedy)
            else:
                versions.append(version)
        return given["createdAt"], versions


def _with_address(alert: Mapping[str, object]) -> Mapping[str, object]:
    """An address that is a secret itself is named in the file, and stands in the environment."""
    url = alert.get("url")
    named = _VARIABLE.fullmatch(url) if isinstance(url, str) else None
    if named is None:
        if isinstance(url, str) and (url.startswith("$") or "${" in url):
            raise InvalidDefinition("/url", "a $ begins no name here.", "Write ${NAME}, and nothing beside it.")
        return alert
    value = os.environ.get(named[1], "").strip()
    if not value:
        raise InvalidDefinition("/url", f"the environment has no {named[1]}.", "Set it to the address.")
    return {**alert, "url": value}


def _version(row: object, project: str) -> DefinitionVersion | None:
    if not isinstance(row, Mapping) or any(not isinstance(row.get(name), kind) for name, kind in _VERSION.items()):
        return None
    until = row.get("until", FOREVER)
    if row["kind"] not in LISTS.values() or not _is_moment(until) or row["from"] >= until:
        return None
    return DefinitionVersion(
        row["kind"], row["id"], project, 0, row["from"], until, row["createdAt"], dict(row["body"])
    )


def _is_moment(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
