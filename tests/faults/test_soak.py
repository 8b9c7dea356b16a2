"""The long run in its short form: every way to break things, mixed. A seed that once failed stays here for good."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.soak import soak

pytestmark = [pytest.mark.faults, pytest.mark.kafka]

SECONDS = float(os.environ.get("SCOREKEEPER_TEST_SOAK_SECONDS", "8"))


@pytest.mark.parametrize("seed", [2, 3], ids=["duplicates anywhere", "definitions change"])
def test_random_faults_change_no_count(tmp_path: Path, seed: int) -> None:
    said: list[str] = []
    run = soak(tmp_path, seed, SECONDS, said.append)
    assert run.sent
    assert run.faults
