"""A worker gives way to others while it counts a backlog, and only then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.bootstrap.priority import BACKLOG, GIVING_WAY, Priority

AUTOGROUP = Path("/proc/self/autogroup")
REAL = """
from pathlib import Path
from app.bootstrap.priority import BACKLOG, Priority, own_group

priority = Priority(own_group())
for lag in (0, BACKLOG + 1, 0):
    priority.adapt_to(lag)
    while Path("/proc/self/autogroup").read_text().split()[-1] != ("10" if lag else "0"):
        priority.adapt_to(lag)
    print(lag)
"""


def may_change() -> bool:
    try:
        AUTOGROUP.write_text("0")
    except BlockingIOError:
        return True  # too many at once
    except OSError:
        return False
    return True


def weight(group: Path) -> str | None:
    return group.read_text() if group.exists() else None


def test_it_gives_way_while_there_is_a_backlog_and_not_longer(tmp_path: Path) -> None:
    group = tmp_path / "autogroup"
    priority = Priority(group)
    found = []
    for lag in (0, BACKLOG, BACKLOG + 1, 5 * BACKLOG, BACKLOG, 0):
        priority.adapt_to(lag)
        found.append(weight(group))
    assert found == [None, None, str(GIVING_WAY), str(GIVING_WAY), "0", "0"]


@pytest.mark.parametrize(("is_alone", "told"), [(True, b"/proc/self/autogroup"), (False, b"None")])
def test_what_shares_its_session_is_left_alone(is_alone: bool, told: bytes) -> None:
    ask = "from app.bootstrap.priority import own_group; print(own_group())"
    done = subprocess.run([sys.executable, "-c", ask], start_new_session=is_alone, timeout=30, capture_output=True)
    assert done.stdout.strip() == told, done.stderr
    Priority(None).adapt_to(BACKLOG + 1)


def test_a_kernel_without_groups_is_not_asked_again(tmp_path: Path) -> None:
    missing = tmp_path / "none" / "autogroup"
    priority = Priority(missing)
    priority.adapt_to(BACKLOG + 1)
    missing.parent.mkdir()
    priority.adapt_to(BACKLOG + 1)
    assert weight(missing) is None


def test_a_change_that_comes_too_soon_is_made_at_the_next_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_soon(_path: Path, _text: str) -> int:
        raise BlockingIOError

    group = tmp_path / "autogroup"
    priority = Priority(group)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", too_soon)
        priority.adapt_to(BACKLOG + 1)
    priority.adapt_to(BACKLOG + 1)
    assert weight(group) == str(GIVING_WAY)


@pytest.mark.skipif(not may_change(), reason="this kernel has no autogroups, or does not let them be changed")
def test_the_kernel_takes_both_weights() -> None:
    done = subprocess.run([sys.executable, "-c", REAL], start_new_session=True, timeout=30, capture_output=True)
    assert done.stdout.split() == [b"0", str(BACKLOG + 1).encode(), b"0"], done.stderr
