"""Ctrl-C while a command is still being loaded."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.end_to_end.processes import COMMAND, PATIENCE_SECONDS

INTERRUPTS_ITSELF = """
import os, signal, sys
from contextlib import suppress

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "typer":
            with suppress({suppressed}):
                os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder)
"""
"""A `sitecustomize`, which every Python process runs first: it sends the signal when the command line is imported."""


def interrupted(folder: Path, handling: str, suppressed: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(INTERRUPTS_ITSELF.format(suppressed=suppressed))
    return subprocess.run(
        # What runs in the background ignores Ctrl-C, and so would all that it starts.
        ["env", f"--{handling}-signal=INT", *COMMAND, "--version"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("suppressed", ["", "BaseException"], ids=["", "lost in what is imported"])
def test_ctrl_c_while_a_command_is_loaded_ends_it_without_a_word(tmp_path: Path, suppressed: str) -> None:
    ended = interrupted(tmp_path, "default", suppressed)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_who_ignores_ctrl_c_ignores_it_while_a_command_is_loaded(tmp_path: Path) -> None:
    ended = interrupted(tmp_path, "ignore")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{version('scorekeeper')}\n", "")
