"""Runs tests with protections taken out: `python -m tests.faults.without '{"seek": ["tests/test_tracking.py::…"]}'`.

Each protection in a fork of this process, which has imported everything already. Prints, as JSON, what each came to:
protection -> [pytest's exit code, what it said].
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest

from tests.faults import sabotage

IMPORTED = ("app.bootstrap", "app.filling", "app.recounting", "app.streams.faust_app", "tests.faults.in_memory")
"""What most of the tests need, and what takes longest to import."""


def run_without(protection: str, tests: Sequence[str]) -> tuple[int, str]:
    """Pytest's exit code and what it said."""
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            code = pytest.main([*sabotage.OPTIONS, "--sabotage", protection, *tests], plugins=[sabotage])
            sys.stdout.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read()


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    os.chdir(Path(__file__).parents[2])
    found = {protection: run_without(protection, tests) for protection, tests in json.loads(sys.argv[1]).items()}
    sys.stdout.write(json.dumps(found))
