"""The README shows what the product shows."""

from __future__ import annotations

import io
from itertools import pairwise

from rich.console import Console

from app.cli.table import SIGNS, GoalTable
from tests.docs.pages import ROOT, blocks

WIDTH = 104


def drawn(goal: dict[str, object]) -> list[str]:
    """The header and the goal's row."""
    console = Console(width=WIDTH, file=io.StringIO(), record=True)
    console.print(GoalTable(WIDTH).render([{"projectKey": "shop", "id": "g", "metric": "m", "target": 1, **goal}]))
    return console.export_text().splitlines()


def test_the_readmes_table_of_goals_is_laid_out_as_the_command_lays_it_out() -> None:
    (shown,) = [block.text.splitlines() for block in blocks(ROOT / "README.md") if "█" in block.text]
    header, *rows = shown
    real, row = drawn({"current": 1, "status": "on_track", "progress": 0.5, "recent": [0, 150]})
    assert header.split() == real.split()
    words = {sign: status.replace("_", " ") for status, sign in SIGNS.items()}
    assert all(f"  {words[line[0]]}  " in line for line in rows)
    assert all(line.endswith(("/s", "/min", "/h")) for line in (row, *rows))
    # As wide a bar, and the most in need first.
    bar = sum(row.count(cell) for cell in "█░│")
    assert {sum(line.count(cell) for cell in "█░│") for line in rows} == {bar}
    order = list(SIGNS.values())[::-1]
    assert all(order.index(one[0]) <= order.index(other[0]) for one, other in pairwise(rows))
