"""Accounting as operators see it: summed over stripes, in the partitions that the log has now."""

from __future__ import annotations

from app.bootstrap.accounting import fates_by_project, fates_of_positions, is_balanced, partition_rows
from app.domain.increments import Position

NOW = 1_800_000_000_000
FIRST, SECOND = Position("events", 2, "t"), Position("events", 10, "t")
STRIPES = [
    {"cp": {FIRST.name: 7}, "acct": {f"{FIRST.name}|received": 7, f"{FIRST.name}|counted": 4}},
    {
        "cp": {FIRST.name: 5},
        "acct": {f"{FIRST.name}|unmatched": 2, f"{FIRST.name}|rejected:too_old": 1},
        "p:shop": {"received": 3, "counted": 2, "rejected:too_old": 1},
    },
]


def test_a_partition_is_as_far_as_its_slowest_stripe() -> None:
    rows = partition_rows(STRIPES, {FIRST.name: (NOW - 5, 7, NOW - 1_500)}, None, now=NOW)
    (row,) = rows
    assert (row["checkpoint"], row["end"], row["lag"], row["silentSeconds"]) == (5, 7, 2, 1.5)
    assert (row["received"], row["counted"], row["unmatched"], row["rejected"]) == (7, 4, 2, {"too_old": 1})
    assert is_balanced(row)
    assert not is_balanced({**row, "counted": 5})


def test_the_log_says_which_partitions_there_are_and_where_they_end() -> None:
    rows = partition_rows(STRIPES, {}, {SECOND: (100, 120), FIRST: (0, 9)}, now=NOW)
    assert [(row["partition"], row["checkpoint"], row["end"], row["lag"]) for row in rows] == [
        (2, 5, 9, 4),
        (10, 0, 120, 20),
    ]
    assert rows[1]["silentSeconds"] is None


def test_a_project_without_events_has_zeros() -> None:
    found = fates_by_project(STRIPES, ["shop", "new"])
    assert found["shop"]["rejected"] == {"too_old": 1}
    assert found["new"] == {"received": 0, "counted": 0, "unmatched": 0, "duplicate": 0, "rejected": {}}
    assert all(is_balanced(row) for row in found.values())


def test_positions_that_hold_nothing_yet_add_nothing() -> None:
    found = fates_of_positions(STRIPES, [FIRST.name, SECOND.name])
    assert (found["received"], found["rejected"]) == (7, {"too_old": 1})
    assert fates_of_positions([], [FIRST.name])["received"] == 0
