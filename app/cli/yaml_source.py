"""YAML as people write it, with the place of every value. Reads, says where a mistake stands, and writes what it reads
as the same; decides nothing else.

Plain values follow YAML 1.2: `2027-12-31` is a text, `NO` is a text, and only `true`, `false` and numbers are more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from app.errors import InvalidDefinition

MAX_VALUES: Final = 200_000
"""More than any file that people keep; an alias in an alias in an alias could stand for billions."""
_NUMBER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_BREAKS: Final = re.compile("[\x85\u2028\u2029]")
"""What ends a line for YAML 1.1, beside the usual ones."""
_WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `places`: JSON pointer -> (line, column), both from 1."""

    value: object
    places: Mapping[str, tuple[int, int]]

    def place(self, pointer: str) -> tuple[int, int]:
        """Where that value stands, or the nearest one around it."""
        while pointer not in self.places and pointer:
            pointer = pointer.rpartition("/")[0]
        return self.places.get(pointer, (1, 1))


class Unreadable(Exception):  # named by what it is to the caller: a file that cannot be read
    """It is no YAML: one sentence, and where."""

    def __init__(self, problem: str, place: tuple[int, int]) -> None:
        super().__init__(problem)
        self.place = place


def read_documents(text: str) -> list[Document]:
    """The documents of a file; an empty one is left out. Raises Unreadable."""
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        # YAML 1.2 takes it there, the reader does not; addresses have it.
        remedy = " Put what holds a question mark in quotes." if "'?'" in said else ""
        raise Unreadable(f"it is no YAML: {said}.{remedy}", _place(mark)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise Unreadable(f"it is no YAML: {str(error).splitlines()[0]}.", (1, 1)) from error
    return [_Reader().read(node) for node in nodes if not _is_empty(node)]


def _is_empty(node: yaml.Node | None) -> bool:
    return node is None or (isinstance(node, yaml.ScalarNode) and node.value == "" and node.style is None)


class _Reader:
    def __init__(self) -> None:
        self._places: dict[str, tuple[int, int]] = {}
        self._values = 0

    def read(self, node: yaml.Node) -> Document:
        return Document(self._value(node, "", 0), self._places)

    def _value(self, node: yaml.Node, pointer: str, depth: int) -> object:
        self._values += 1
        place = _place(node.start_mark)
        if self._values > MAX_VALUES or depth > 64:
            raise Unreadable("it holds too much, or is nested too deeply.", place)
        self._places[pointer] = place
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, f"{pointer}/{index}", depth + 1) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, pointer, depth)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, pointer: str, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            place = _place(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                raise Unreadable("a field's name must be a text.", place)
            key = key_node.value
            if key in found:
                raise Unreadable(f"the field {key!r} stands there twice.", place)
            inner = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            found[key] = self._value(value_node, inner, depth + 1)
            self._places[inner] = place
        return found


def _scalar(node: yaml.Node) -> object:
    text: str = node.value
    if node.tag not in {
        f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
    }:
        raise Unreadable(f"the tag {node.tag!r} is not understood.", _place(node.start_mark))
    if getattr(node, "style", None) is not None or _is_text(text):
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return int(text) if re.fullmatch(r"[-+]?[0-9]+", text) else float(text)
    except ValueError as error:
        raise Unreadable("the number has too many digits.", _place(node.start_mark)) from error


def _is_text(plain: str) -> bool:
    """Whether it is one without quotes too."""
    return plain.lower() not in _WORDS and not _NUMBER.fullmatch(plain)


def _place(mark: yaml.Mark | None) -> tuple[int, int]:
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)


def write_documents(values: Sequence[object]) -> str:
    """A file of these documents, for people who review it. `read_documents` gives the same values: JSON's only."""
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 100}
    return yaml.dump_all(values, Dumper=_Dumper, **options) if values else ""


class _Dumper(yaml.SafeDumper):
    """Without references."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # The package follows YAML 1.1, where 12e3 is a text: it would leave out the quotes.
    style = None if _is_text(text) else "'"
    if _BREAKS.search(text):
        # They are folded, or read as a space, where they are not escaped.
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def problem_lines(name: str, document: Document, error: InvalidDefinition, base: str = "") -> list[str]:
    """`FILE:LINE:COLUMN: pointer: problem remedy`, for the error and the others with it."""
    lines = []
    for one in error.each:
        pointer = base + one.field
        line, column = document.place(pointer)
        said = f"{one.problem} {one.remedy}".strip()
        lines.append(f"{name}:{line}:{column}: {pointer.lstrip('/').replace('/', '.') or 'the document'}: {said}")
    return lines
