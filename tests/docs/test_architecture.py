"""ARCHITECTURE.md and CONTRIBUTING.md against the code: layers, arrows and files are what they say."""

from __future__ import annotations

import ast
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DIAGRAMS = re.findall(r"^```mermaid\n(.*?)^```$", ARCHITECTURE, re.MULTILINE | re.DOTALL)
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS: list[list[str]] = [[name.strip() for name in row.split("|")] for row in CONTRACTS[0]["layers"]]


def arrows(diagram: str) -> list[tuple[str, str]]:
    """(from, to) of every arrow, as the labels of the nodes."""
    labels = dict(re.findall(r"(\w+)\[+\(?\"([^\"]+)\"\)?\]+", diagram))
    bare = re.sub(r"\[+\(?\"[^\"]+\"\)?\]+", "", diagram)
    found = re.findall(r"^\s*(\w+)\s*--+>?(?:\s*\"[^\"]*\"\s*--+>)?(?:\|[^|]*\|)?\s*(\w+)\s*$", bare, re.MULTILINE)
    return [(labels[one].split(" ")[0], labels[other].split(" ")[0]) for one, other in found]


def test_there_is_a_diagram_of_the_parts_and_one_of_the_way_of_an_event() -> None:
    assert len(DIAGRAMS) == 2


def test_the_diagram_of_the_parts_has_the_layers_of_the_import_contract() -> None:
    drawn = [[name.strip() for name in label.split("|")] for label in re.findall(r"\[\"([^\"]+)\"\]", DIAGRAMS[0])]
    expected = "\n".join(f'L{depth}["{" | ".join(row)}"]' for depth, row in enumerate(LAYERS))
    assert drawn == LAYERS, f"the layers of pyproject.toml as nodes of the diagram:\n{expected}"


def test_every_module_has_its_layer() -> None:
    named = {name for row in LAYERS for name in row}
    present = {f"app.{file.stem}" for file in (ROOT / "app").glob("[a-z]*.py")}
    present |= {f"app.{file.parent.name}" for file in (ROOT / "app").glob("*/__init__.py")}
    assert named - {"agents", "api"} == present


def test_the_arrows_of_the_parts_point_down() -> None:
    order = {row[0]: depth for depth, row in enumerate(LAYERS)}
    found = arrows(DIAGRAMS[0])
    assert len(found) == len(LAYERS) - 1
    assert all(order[one] < order[other] for one, other in found)


@pytest.mark.parametrize(("one", "other"), arrows(DIAGRAMS[1]))
def test_each_step_of_an_events_way_is_a_file_that_knows_the_next(one: str, other: str) -> None:
    """An arrow: the one calls the other, or the wiring hands it over. So the one, or what wires them, imports it."""
    for name in (one, other):
        assert (ROOT / name).exists(), name
    if other.endswith(".lua"):
        assert Path(other).name in (ROOT / one).read_text()
        return
    target = other.removesuffix(".py").replace("/", ".")
    wiring = [ROOT / "app" / "worker.py", ROOT / "agents" / "__init__.py", *(ROOT / "app" / "bootstrap").glob("*.py")]
    assert any(target in imports(file) for file in [ROOT / one, *wiring]), f"nothing joins {one} and {other}"


def imports(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:app|agents|api|config|tests|docs|requirements)/[\w./*-]+)`", CONTRIBUTING)))
)
def test_a_file_that_a_recipe_names_exists(path: str) -> None:
    assert list(ROOT.glob(path.rstrip("/"))), path


def test_files_that_the_map_names_exist() -> None:
    text = ARCHITECTURE[ARCHITECTURE.index("## The map") : ARCHITECTURE.index("Imports point one way")]
    present = {
        file.name for folder in ("app", "agents", "api", "config", "tests") for file in (ROOT / folder).rglob("*")
    }
    named = set(re.findall(r"\b(?<![\w/*])([a-z_]+\.(?:py|lua))\b", text))
    assert named - present == set()


@pytest.mark.parametrize("folder", ["app", "app/domain"])
def test_the_map_names_every_module(folder: str) -> None:
    text = ARCHITECTURE[ARCHITECTURE.index("## The map") : ARCHITECTURE.index("Imports point one way")]
    named = set(re.findall(r"[a-z_*]+\.py", text))
    modules = {file.name for file in (ROOT / folder).glob("[a-z]*.py")}
    assert {name for name in modules if not any(fnmatch(name, one) for one in named)} == set()


def test_decisions_have_a_context_and_a_consequence() -> None:
    decisions = ARCHITECTURE[ARCHITECTURE.index("## Decisions") :].split("\n\n**")[1:]
    assert len(decisions) > 10
