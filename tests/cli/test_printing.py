"""What commands print of what events hold: nothing that a terminal would obey."""

from __future__ import annotations

import json
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
