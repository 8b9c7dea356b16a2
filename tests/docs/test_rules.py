"""The page of rules names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "rules.md"
NAMED = re.findall(r"`([a-z_/]+\.py)::(test_\w+)`", PAGE.read_text(encoding="utf-8"))


def test_every_test_that_the_rules_name_exists() -> None:
    assert len(NAMED) > 60
    sources = {file: (ROOT / "tests" / file).read_text(encoding="utf-8") for file, _ in NAMED}
    assert [f"{file}::{name}" for file, name in NAMED if f"def {name}(" not in sources[file]] == []


def test_every_rule_has_a_test() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rules = [row for row in rows if not row.startswith(("| rule |", "| --- |"))]
    assert [row for row in rules if "::test_" not in row] == []
