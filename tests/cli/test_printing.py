"""What commands print of what events hold: nothing that a terminal would obey."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable

import pytest

from app.cli.printing import plain, print_json, print_json_text, print_line, print_table, tell

HARM = "a\x1b[31mred\x1b[0m \x9b2J \u202etxt \x7f \u2028 \ud800 Zoë \U0001f600"
SAFE = "a·[31mred·[0m ·2J ·txt · · · Zoë \U0001f600"


def test_what_a_terminal_would_obey_is_a_dot() -> None:
    assert plain(HARM) == SAFE


@pytest.mark.parametrize(
    "say",
    [
        print_line,
        tell,
        lambda text: print_table(["name"], [[text]], empty=""),
        lambda text: print_table(["name"], [], empty=text),
    ],
    ids=["a line", "a remark", "a table", "no row"],
)
def test_nothing_is_said_that_a_terminal_would_obey(
    say: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    say(HARM)
    out, err = capsys.readouterr()
    assert (out + err).splitlines()[-1].rstrip() == SAFE


def test_a_line_of_data_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("id\nequal: 7 counters")
    assert capsys.readouterr().out == "id·equal: 7 counters\n"


def test_json_holds_every_character_but_only_as_an_escape(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"id": HARM})
    print_json_text(json.dumps({"id": HARM}, ensure_ascii=False))
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == json.loads(second) == {"id": HARM}
    assert plain(first) == first
    assert "Zoë \U0001f600" in first


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What a terminal shows."""
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()


@pytest.mark.parametrize("width", [20, 80], ids=["a narrow terminal", "a terminal"])
def test_a_terminal_breaks_neither_a_word_nor_a_number(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    ident, detail = (
        "events@01a21e52-a41d-7663-b76d-e48773c3925e/1/2775",
        "no project has the key " + "that it names " * 9,
    )
    print_table(["id", "#lift", "detail"], [[ident, "-100.00 %", detail]], empty="")
    title, first, *rest = lines_of(capsys)
    assert title.split() == ["id", "lift", "detail"]
    assert first.startswith(f"{ident}  -100.00 %  no")
    assert " ".join([first, *rest]).split()[3:] == detail.split()


def test_a_terminal_breaks_what_nobody_could_read_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    print_table(["name", "when"], [["x" * 300, "now"]], empty="")
    assert max(map(len, lines_of(capsys))) <= 80


def test_a_pipe_gets_each_row_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "a long title"], [["x" * 900, "of an event"], ["y", ""]], empty="")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "name" + " " * 898 + "a long title",
        "x" * 900 + "  of an event",
        "y",
    ]
