"""The table of goals."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from app.cli.goals import WIDE
from app.cli.table import GoalTable, bar, outlook, rate, summary

NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)
SOON = NOON + timedelta(minutes=20)


def _goal(**fields: Any) -> dict[str, Any]:
    return {
        "projectKey": "shop",
        "id": "goal_1",
        "metric": "sign_ups",
        "target": 200,
        "current": 100,
        "expected": 50,
        "progress": 0.5,
        "status": "on_track",
        "freshAsOf": None,
        **fields,
    }


@pytest.mark.parametrize(
    ("goal", "drawn"),
    [
        (_goal(), "█████│████░░░░░░░░░░"[:5] + "│" + "████" + "░" * 10 + "   50%"),
        (_goal(progress=0, expected=200), "░" * 19 + "│    0%"),
        (_goal(progress=7.5, expected=0), "│" + "█" * 19 + "  100%"),
        (_goal(progress=0.5, expected=None), "█" * 10 + "░" * 10 + "   50%"),
        (_goal(current=None, progress=None, expected=None), "░" * 20 + "    0%"),
    ],
)
def test_the_bar_shows_how_far_it_is_and_where_it_should_be(goal: dict[str, Any], drawn: str) -> None:
    assert bar(goal, 20).plain == drawn


def test_a_sum_is_told_to_its_last_decimal_and_a_rate_with_two() -> None:
    told = {"current": 1234567.8915, "target": 0.005, "unit": "ETH"}
    (line,) = GoalTable().lines([_goal(aggregation="sum", **told)])
    assert line == "sign_ups: 1,234,567.8915 of 0.005 ETH, on track, –"
    (line,) = GoalTable().lines([_goal(aggregation="rate", current=100 / 3)])
    assert line == "sign_ups: 33.33 of 200, on track, –"


def test_a_long_unit_is_whole_in_a_pipe_and_visibly_cut_in_a_terminal() -> None:
    goals = [_goal(unit="qualified leads of the north")]
    assert GoalTable().lines(goals) == ["sign_ups: 100 of 200 qualified leads of the north, on track, –"]
    for shortens, unit in ((True, "qualified leads of …"), (False, "qualified leads of the north")):
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(GoalTable(200, shortens=shortens).render(goals))
        assert f"200 {unit}  " in console.export_text()


def test_a_look_has_all_a_person_asks_for() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(GoalTable().render([_goal(description="Sign-ups", unit="people")]))
    text = console.export_text()
    for part in ("Sign-ups", "100", "200 people", "on track", "50%"):
        assert part in text


def test_a_goal_that_is_counted_again_shows_no_zero() -> None:
    (line,) = GoalTable().lines([_goal(current=None, status=None)])
    assert line == "sign_ups: – of 200, rebuilding, –"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_a_look_fits_its_terminal_and_shortens_no_figure(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    goals = [_goal(description="A name that is as long as people write them", current=1234567.89, unit="EUR")]
    console.print(GoalTable(width).render(goals, PIPELINE))
    text = console.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    assert [word for word in text.split() if word.startswith("1,2")] == ["1,234,567.89"] * (width >= 60)
    assert "│" in text


@pytest.mark.parametrize("width", [40, 60, 80, 90, 100, 120, 140])
def test_name_progress_and_status_are_the_last_to_give_way(width: int) -> None:
    """Also where figures are long, and beside a column of projects from 60 on."""
    long = {"current": 123_456_789.25, "target": 987_654_321.5, "unit": "leads of the north", "recent": [0, 150]}
    goals = [_goal(description="Visits that end with an order", status=status, **long) for status in ("behind", None)]
    projects = ("shop", "a-project-with-a-long-key") if width >= 60 else ("shop", "shop")
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(
        GoalTable(width).render([{**goal, "projectKey": key} for goal, key in zip(goals, projects, strict=True)])
    )
    _, *lines = console.export_text().splitlines()
    assert len(lines) == 2
    for line, status in zip(lines, ("behind", "rebuilding"), strict=True):
        for part in ("Visits" if width >= 60 else "Visi", "50%", f"  {status}"):
            assert part in line, line
        assert len(line) <= width


def test_what_is_worth_less_gives_way_to_long_names_only() -> None:
    def heading(**fields: Any) -> str:
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(GoalTable(80).render([_goal(**fields)]))
        return console.export_text().splitlines()[0]

    long = {"current": 1_234_567, "target": 9_876_543, "unit": "leads of May"}
    assert "target" in heading(description="Visits that end with an order")
    assert "target" in heading(**long, description="Visits")
    assert "target" not in heading(**long, description="Visits that end with an order")


PIPELINE = {
    "workers": [{"alive": True, "rate": 12.0}, {"alive": False, "rate": 99.0}],
    "freshAsOf": "2026-01-01T00:00:00Z",
    "lag": 4_321,
    "rebuilding": False,
    "losses": [{"number": 7}],
}


def test_the_line_above_says_what_the_pipeline_is_worth() -> None:
    text = summary(PIPELINE).plain
    for part in ("complete up to", "lag 4,321", "1 worker, 12/s", "7 messages lost"):
        assert part in text
    assert "no worker counts" in summary({**PIPELINE, "workers": []}).plain


def test_the_most_in_need_stand_first_and_what_does_not_fit_is_told() -> None:
    statuses = ("completed", "on_track", "behind", "at_risk", None)
    goals = [_goal(id=f"g{n}", description=f"<{status}>", status=status) for n, status in enumerate(statuses)]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(GoalTable(100, height=7).render(goals))
    text = console.export_text()
    assert text.index("<behind>") < text.index("<at_risk>") < text.index("<on_track>")
    assert "… and 2 more" in text
    assert "<completed>" not in text


@pytest.mark.parametrize("name", ["\x1b[2J\x1b]0;owned\x07", "\u202egnp.exe", "a\nb", "\ud800"])
def test_a_name_cannot_reach_the_terminal(name: str) -> None:
    console = Console(width=100, record=True, file=io.StringIO(), color_system=None)
    console.print(GoalTable(100).render([_goal(description=name)]))
    text = console.export_text(styles=False)
    assert not set(text) & set("\x1b\x07\u202e\ud800")
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"projectedAt": "2027-03-12T12:00:00Z", "endsAt": "2027-03-31T12:00:00Z"},
            "reaches it on 12 Mar, 19 days early",
        ),
        (
            {"projectedAt": SOON.isoformat(), "endsAt": (SOON - timedelta(minutes=9)).isoformat()},
            f"reaches it at {SOON.astimezone():%H:%M}, 9 min late",
        ),
        ({"projected": 70, "endsAt": "2027-03-31T00:00:00Z"}, "heads for 70"),
        ({"current": 60, "endsAt": "2026-03-31T00:00:00Z", "status": "behind"}, "missed by 140"),
        ({"current": None}, "waiting for the first event"),
    ],
)
def test_where_a_goal_leads_is_said_in_words(fields: dict[str, Any], words: str) -> None:
    assert outlook(_goal(**fields), NOON) == words


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"recent": [60, 30]}, "60/h"),
        ({"recent": [0, 150]}, "2.5/min"),
        ({"recent": [0, 600]}, "10/min"),
        ({"recent": [0, 7200]}, "2/s"),
        ({"recent": [0, 30], "startsAt": "2026-12-31T23:15:00Z"}, "2/min"),
        ({"recent": []}, "–"),
        ({"recent": [1, 1], "current": None}, "–"),
    ],
)
def test_the_rate_is_the_pages(fields: dict[str, Any], told: str) -> None:
    assert rate(_goal(**fields), datetime(2026, 12, 31, 23, 30, tzinfo=UTC)) == told


@pytest.mark.parametrize(
    ("width", "there", "not_there"),
    [
        (40, ("progress", "status"), ("current", "target", "rate", "fresh", "outlook")),
        (60, ("current", "status"), ("target", "rate", "fresh", "outlook")),
        (80, ("current", "target", "status"), ("rate", "fresh", "outlook")),
        (100, ("target", "status", "rate"), ("fresh", "to pace", "outlook")),
        (160, ("target", "status", "rate", "fresh", "to pace", "last", "outlook"), ()),
    ],
)
def test_a_wider_terminal_shows_more(width: int, there: tuple[str, ...], not_there: tuple[str, ...]) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(GoalTable(width).render([_goal()]))
    heading = console.export_text().splitlines()[0]
    assert [name for name in there if name not in heading] == []
    assert [name for name in not_there if name in heading] == []


def test_a_pipe_gets_whole_values() -> None:
    console = Console(width=WIDE, record=True, file=io.StringIO())
    goals = [
        _goal(projectKey="a-project-with-a-long-key", description="name " * 39 + "end"),
        _goal(id="other", projectKey="b"),
    ]
    console.print(GoalTable(WIDE, shortens=False).render(goals))
    text = console.export_text()
    assert "…" not in text
    for part in ("a-project-with-a-long-key", "name end"):
        assert part in text


def test_a_file_gets_a_line_when_a_goal_gets_on() -> None:
    table = GoalTable()
    assert len(table.new_lines([_goal(), _goal(id="other")])) == 2
    assert table.new_lines([_goal(current=101, progress=0.505), _goal(id="other")]) == []
    (line,) = table.new_lines([_goal(current=130, progress=0.65), _goal(id="other")])
    assert "130 of 200" in line
    (line,) = table.new_lines([_goal(current=130, progress=0.65), _goal(id="other", status="behind")])
    assert "behind" in line
    assert table.new_lines("waiting") == ["waiting"]
    assert table.new_lines("waiting") == []
