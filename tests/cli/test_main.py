"""The command line as a whole: exit codes, errors in one sentence, settings."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from app.cli.main import command_line
from app.errors import GenerationMissing
from tests.cli.conftest import Ended, Scorekeeper
from tests.docs.pages import ROOT


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("match",),
        ("settings", "--nonsense"),
        ("keys", "create", "--days", "-3"),
        ("keys", "roll", "some", "--grace-hours", "-1"),
    ],
)
def test_wrong_use_is_exit_code_2(scorekeeper: Scorekeeper, arguments: tuple[str, ...]) -> None:
    assert scorekeeper(*arguments).code == 2


def commands(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Every command with its words."""
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, *names, name)
    if not getattr(command, "commands", None) or command.invoke_without_command:
        yield " ".join(names), command


@pytest.mark.parametrize("text", ["nan", "1e400"])
def test_a_number_with_which_nothing_can_be_computed_is_wrong_use(scorekeeper: Scorekeeper, text: str) -> None:
    options = [
        (*words.split(), parameter.opts[0])
        for words, command in commands(get_command(command_line()))
        for parameter in command.params
        if parameter.type.name.startswith("float")
    ]
    assert ("plan", "--events-per-second") in options
    for option in options:
        ended = scorekeeper(*option, text)
        assert (ended.code, "is no finite number" in ended.err or "is not in the range" in ended.err) == (2, True), (
            option
        )


@pytest.mark.parametrize(
    "options",
    [
        ("--events-per-second", "1e308"),
        ("--events-per-second", "1", "--window-days", "1e308"),
        ("--events-per-second", "1", "--history-days", "1e308"),
        ("--events-per-second", "1", "--goals", "9" * 400),
        ("--events-per-second", "1", "--unique-subjects", "9" * 400),
        ("--events-per-second", "1", "--event-bytes", "9" * 400),
    ],
)
def test_a_load_that_cannot_be_is_not_planned(scorekeeper: Scorekeeper, options: tuple[str, ...]) -> None:
    ended = scorekeeper("plan", *options)
    assert (ended.code, "is not in the range" in ended.err) == (2, True), ended


def test_the_greatest_load_that_is_planned_has_figures(scorekeeper: Scorekeeper) -> None:
    most = ("--events-per-second", "1e12", "--window-days", "36500", "--history-days", "36500", "--goals", str(10**12))
    ended = scorekeeper("plan", *most, "--match-share", "1", "--worker-rate", "1")
    assert ended.code == 0
    assert "inf" not in ended.out


def test_a_command_loads_no_other() -> None:
    """It would pay for all of them with the time of its start."""
    asked = (
        "import sys; from app.cli.main import COMMANDS, run; run(); "
        "print(*{place.partition(':')[0] for place in COMMANDS.values()} & {*(m[8:] for m in sys.modules)})"
    )
    command = [sys.executable, "-c", asked, "settings", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "settings"


def test_every_command_that_prints_data_prints_json() -> None:
    without = {
        words
        for words, command in commands(get_command(command_line()))
        if "--json" not in [name for parameter in command.params for name in parameter.opts]
    }
    assert without - {""} == {"up", "worker", "api"}


def test_ctrl_c_ends_a_command_without_a_word(scorekeeper: Scorekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.cli.settings.load", interrupt)
    assert scorekeeper("settings") == Ended(130, "", "")


def test_an_unknown_variable_stops_every_command(scorekeeper: Scorekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOREKEEPER_KAFAK", "x:1")
    ended = scorekeeper("settings")
    assert ended.code == 2
    assert ended.err == "scorekeeper: SCOREKEEPER_KAFAK is not a setting; did you mean SCOREKEEPER_KAFKA?\n"


@pytest.mark.parametrize("place", [0, 1])
def test_the_settings_file_may_be_named_anywhere(
    scorekeeper: Scorekeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    # Put back what the command sets for the whole process.
    monkeypatch.setenv("SCOREKEEPER_CONFIG", "")
    file = tmp_path / "scorekeeper.toml"
    file.write_text("port = 8123")
    arguments = ["settings", "--json"]
    arguments[place:place] = ["--config", str(file)]
    port = next(line for line in scorekeeper(*arguments).json() if line["name"] == "port")
    assert port == {
        "name": "port",
        "variable": "SCOREKEEPER_PORT",
        "value": 8123,
        "unit": "",
        "meaning": "The port of the HTTP API; 0 takes a free one.",
        "origin": str(file),
    }


@pytest.mark.parametrize(
    "words", ["goals", "watch --once", "status", "export", "projects list", "keys list", "experiments list"]
)
def test_a_look_in_another_folder_says_so_and_makes_nothing(
    scorekeeper: Scorekeeper, tmp_path: Path, words: str
) -> None:
    ended = scorekeeper(*words.split())
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("scorekeeper: there is no .scorekeeper here: go where `scorekeeper up` runs")
    assert list(tmp_path.iterdir()) == []
    assert scorekeeper("projects", "create", "shop").code == 0
    assert scorekeeper("projects", "list").code == 0


@pytest.mark.parametrize("part", ["up", "api"])
@pytest.mark.parametrize("port", ["70000", "-1"])
def test_a_port_that_is_none_is_told_by_its_option(scorekeeper: Scorekeeper, part: str, port: str) -> None:
    ended = scorekeeper(part, "--port", port)
    assert (ended.code, f"Invalid value for '--port': {port} is not in the range 0<=x<=65535." in ended.err) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("apply absent.yaml", "name a file of definitions, as `scorekeeper export` prints one"),
        ("snapshot load absent.yaml", "name a file that `scorekeeper snapshot save` has written"),
    ],
)
def test_a_file_that_is_not_there_is_told_with_what_it_should_be(
    scorekeeper: Scorekeeper, words: str, remedy: str
) -> None:
    scorekeeper("migrate")
    ended = scorekeeper(*words.split())
    told = f"scorekeeper: absent.yaml cannot be read (No such file or directory); {remedy}\n"
    assert (ended.code, ended.err) == (2, told)


def test_help_is_given_by_its_short_name_too(scorekeeper: Scorekeeper) -> None:
    for words in ((), ("keys", "create")):
        assert scorekeeper(*words, "-h") == scorekeeper(*words, "--help")
        assert scorekeeper(*words, "-h").code == 0


def test_a_reason_that_is_none_is_refused_with_those_there_are(scorekeeper: Scorekeeper) -> None:
    ended = scorekeeper("dead-letters", "list", "--reason", "unknown_projekt")
    assert ended.code == 2
    assert "Invalid value for '--reason': 'unknown_projekt' is not one of 'empty', 'too_large', " in ended.err


def test_dead_letters_of_a_project_that_nobody_knows_are_refused_with_the_nearest(scorekeeper: Scorekeeper) -> None:
    scorekeeper("migrate")
    scorekeeper("projects", "create", "Web Shop")
    for command in ("list", "replay"):
        ended = scorekeeper("dead-letters", command, "--project", "web-shp")
        assert (ended.code, ended.err) == (
            1,
            "scorekeeper: no project with the id 'web-shp'; did you mean 'web-shop'? `scorekeeper projects list` shows "
            "those there are\n",
        )


NO_LETTER = "scorekeeper: there is no dead letter nix; `scorekeeper dead-letters list` shows those there are\n"


def test_a_dead_letter_that_is_not_there_is_not_replayed(
    scorekeeper: Scorekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cli.dead_letters.with_parts", lambda _: 0)
    assert scorekeeper("dead-letters", "replay", "nix") == Ended(1, "", NO_LETTER)
    assert scorekeeper("dead-letters", "replay") == Ended(0, "replayed 0\n", "")


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("export --project nix", "no project with the id 'nix'; `scorekeeper projects list` shows those there are"),
        ("keys roll nix", "no live API key with the id 'nix'; `scorekeeper keys list` shows those there are"),
        ("keys revoke nix", "no API key with the id 'nix'; `scorekeeper keys list` shows those there are"),
    ],
)
def test_what_is_not_there_is_told_with_what_lists_those_that_are(
    scorekeeper: Scorekeeper, words: str, remedy: str
) -> None:
    scorekeeper("migrate")
    assert scorekeeper(*words.split()) == Ended(1, "", f"scorekeeper: {remedy}\n")


def test_a_database_whose_driver_is_not_there_is_a_wrong_setting(
    scorekeeper: Scorekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOREKEEPER_DATABASE", "mysql://root@localhost/scores")
    ended = scorekeeper("goals")
    assert ended.code == 2
    assert ended.err.startswith("scorekeeper: SCOREKEEPER_DATABASE is not an address we can use (No module named ")
    assert "try postgresql+psycopg://user@host/name" in ended.err


def test_a_database_whose_port_is_no_number_is_a_wrong_setting_and_its_password_is_not_told(
    scorekeeper: Scorekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOREKEEPER_DATABASE", "postgresql+psycopg://me:hush/scores")
    ended = scorekeeper("goals")
    assert ended == Ended(
        2,
        "",
        "scorekeeper: SCOREKEEPER_DATABASE is not an address we can use (its port is no number); try "
        "postgresql+psycopg://user@host/name, with what is special in a password percent-encoded\n",
    )


def test_an_api_whose_port_is_taken_says_so(scorekeeper: Scorekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("SCOREKEEPER_PORT", str(port))
        ended = scorekeeper("api")
    assert ended == Ended(
        1,
        "",
        f"scorekeeper: port {port} is in use: stop what listens there, or choose another one with --port or "
        "SCOREKEEPER_PORT\n",
    )


def test_a_generation_that_is_not_there_is_no_redis_that_is_away(
    scorekeeper: Scorekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def miss(_: object = None) -> None:
        raise GenerationMissing(99)

    monkeypatch.setattr("app.cli.settings.load", miss)
    ended = scorekeeper("settings")
    assert ended.code == 1
    assert ended.err.startswith("scorekeeper: generation 99 is missing: `scorekeeper generations` lists what is there")
    assert "SCOREKEEPER_REDIS" not in ended.err


def test_a_defect_is_one_line_and_its_traceback_is_in_a_file(
    scorekeeper: Scorekeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(_: object = None) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("app.cli.settings.load", break_down)
    ended = scorekeeper("settings")
    assert ended.code == 1
    assert ended.err == (
        "scorekeeper: an unexpected error: ZeroDivisionError: two; the details are in .scorekeeper/log/errors.log\n"
    )
    assert "Traceback" in (tmp_path / ".scorekeeper/log/errors.log").read_text()


def test_a_defect_in_a_container_is_in_its_log(scorekeeper: Scorekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(_: object = None) -> None:
        raise ZeroDivisionError("redis://:hidden-7@redis")

    monkeypatch.setattr("app.cli.settings.load", break_down)
    monkeypatch.setenv("SCOREKEEPER_LOG_FORMAT", "json")
    sentence, details = scorekeeper("settings").err.splitlines()
    assert sentence.startswith("scorekeeper: an unexpected error: ZeroDivisionError")
    assert "in break_down" in json.loads(details)["error"]
    assert "hidden-7" not in details


def test_the_version_is_told_without_settings(scorekeeper: Scorekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOREKEEPER_PORT", "wrong")
    assert scorekeeper("--version").out == f"{version('scorekeeper')}\n"


def test_settings_are_a_table_for_people(scorekeeper: Scorekeeper) -> None:
    out = scorekeeper("settings").out
    assert "SCOREKEEPER_DEDUPLICATION_WINDOW_DAYS" in out
    assert "How long an event id is remembered" in out
