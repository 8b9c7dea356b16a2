"""Running commands in this process: what a person types in, what comes out."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import run
from config.settings import Settings, variable_of


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Scorekeeper = Callable[..., Ended]


@pytest.fixture
def scorekeeper(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Ended]:
    """Runs `scorekeeper ARGUMENTS` in an empty directory, with no settings from outside."""
    for name in [*(variable_of(name) for name in Settings.model_fields), "SCOREKEEPER_CONFIG"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "argv", ["scorekeeper", *(str(argument) for argument in arguments)])
        monkeypatch.setattr("app.cli.offline.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = run()
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return call


@pytest.fixture
def apply(scorekeeper: Scorekeeper, tmp_path: Path) -> Any:
    """Applies a text; options come after it."""

    def call(text: str, *options: str) -> Ended:
        file = tmp_path / "shop.yaml"
        file.write_text(text, encoding="utf-8")
        return scorekeeper("apply", "shop.yaml", *options)

    return call
