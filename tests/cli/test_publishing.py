"""`scorekeeper publish`: how a line becomes a message, and when it is sent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from io import FileIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from pydantic import SecretStr

from api.event_bodies import Piece, judge
from app.bootstrap import Parts
from app.cli.arriving import arriving, open_input
from app.cli.publishing import message_of
from app.cli.unclaimed import MAX_NAMES, MAX_TOLD, Claims
from app.domain.parsing import ParsingRules
from app.embedded.running import Running
from app.errors import StoreUnavailable
from app.streams.topics import Topics
from config.settings import Settings
from tests.cli.conftest import Scorekeeper
from tests.end_to_end.processes import COMMAND, PATIENCE_SECONDS, eventually


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b'{"userId": "u", "visitorId": "v", "id": "i"}', b"u"),
        (b'{"visitorId": "v", "anonymousId": "a", "id": "i"}', b"v"),
        (b'{"anonymousId": "a", "id": "i"}', b"a"),
        (b'{"id": "i"}', b"i"),
        (b'{"userId": "", "visitorId": null, "id": "i"}', b"i"),
        (b'{"userId": 7}', b"7"),
        (b'{"retracts": "e", "id": "i"}', b"e"),
        (b'{"restates": "e", "id": "i"}', b"e"),
        (b'{"retracts": "e", "visitorId": "v"}', b"v"),
        (b'{"eventId": "e"}', b"e"),
        (b'{"type": "track", "event": "x", "messageId": "m"}', b"m"),
        (b'{"specversion": "1.0", "type": "x", "source": "/s", "id": "i"}', b"/s i"),
        (b'{"specversion": "1.0", "type": "x", "source": "/s", "id": "i", "userid": "u", "data": {}}', b"u"),
        (b'{"specversion": "1.0", "type": "x", "source": "/s", "id": "i", "data": {"anonymousId": "a"}}', b"a"),
        (b'{"specversion": "0.3", "type": "x", "id": "i"}', b"i"),
        (b'{"userId": "J\\u00f6rg"}', "Jörg".encode()),
        ('{"userId": "Jörg"}'.encode(), "Jörg".encode()),
        (b'{"type": "x"}', None),
        (b"[1, 2]", None),
        (b'"text"', None),
    ],
)
def test_a_message_is_keyed_by_its_subject(line: bytes, key: bytes | None) -> None:
    assert message_of(line, None)[0].key == key


@pytest.mark.parametrize(
    "event",
    [
        {"type": "x", "eventId": "e"},
        {"type": "x", "id": "e", "anonymousId": "a"},
        {"type": "$retract", "eventType": "x", "retracts": "e", "id": "r"},
        {"type": "track", "event": "x", "messageId": "m"},
        {"specversion": "1.0", "type": "x", "source": "/s", "id": "i"},
        {"specversion": "1.0", "type": "x", "source": "/s", "id": "i", "data": {"userId": "u"}},
    ],
)
def test_an_event_has_the_key_that_it_has_over_http(event: dict[str, Any]) -> None:
    line = json.dumps(event).encode()
    ((key, _, _),) = judge([Piece("", line)], "shop", 0, ParsingRules()).messages
    assert message_of(line, "shop")[0].key == key


@pytest.mark.parametrize("line", [b'{"a":  1.50, "a": 1e2}', b'{"x":"\xc3\xa4"}', b"null"])
def test_the_bytes_are_not_changed(line: bytes) -> None:
    assert message_of(line, "shop")[0].value == line


@pytest.mark.parametrize("line", [b"{", b"not json", b'{"a": NaN}', b'{"a": 1} x', b'{"a": "\xff"}', b"[" * 100_000])
def test_a_line_that_is_not_json_is_refused(line: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, RecursionError)):
        message_of(line, None)


@pytest.mark.parametrize(
    ("line", "project", "headers"),
    [
        (b'{"type": "x"}', "shop", [("project", b"shop")]),
        (b'{"type": "x"}', None, []),
        (b'{"projectKey": "mine"}', "shop", []),
        (b'{"projectId": "mine"}', "shop", []),
        (b'{"project": "mine"}', "shop", []),
        (b'{"projectKey": ""}', "shop", [("project", b"shop")]),
    ],
)
def test_the_project_is_a_header_where_the_event_names_none(
    line: bytes, project: str | None, headers: list[tuple[str, bytes]]
) -> None:
    assert list(message_of(line, project)[0].headers) == headers


@pytest.mark.parametrize(
    ("line", "project", "claim"),
    [
        (b'{"type": "x"}', None, ""),
        (b'{"type": "x", "projectKey": null}', None, ""),
        (b'{"type": "x"}', "shop", "shop"),
        (b'{"type": "x", "projectKey": "m\\u00efne"}', "shop", "mïne"),
        (b'{"projectKey": "mine", "events": [{"projectKey": "other"}]}', None, None),
        (b'{"specversion": "1.0", "type": "x", "source": "/s", "id": "i", "projectkey": "mine"}', None, None),
        (b"[1, 2]", None, None),
    ],
)
def test_the_project_that_a_line_names_is_told_where_it_is_certain(
    line: bytes, project: str | None, claim: str | None
) -> None:
    assert message_of(line, project)[1] == claim


def claims(known: list[str] | None, *projects: str | None) -> Claims:
    found = Claims()
    found._known = known
    for project in projects:
        found.note(project)
    return found


def test_lines_that_name_no_project_or_none_that_exists_are_told_with_a_remedy() -> None:
    found = claims(["web-shop"], "web-shop", "web-shp", "web-shp", "", None)
    assert found.as_json() == {"withoutProject": 1, "unknownProjects": {"web-shp": 2}}
    assert list(found.sentences()) == [
        "lines that name no project: 1; they become dead letters unless the workers have a "
        "SCOREKEEPER_DEFAULT_PROJECT: name one as `projectKey`, or with --project",
        "there is no project 'web-shp': 2 of the lines become dead letters; did you mean 'web-shop'?",
    ]


def test_many_unknown_projects_are_told_in_few_lines() -> None:
    *first, last = claims([], *(f"p{number}" for number in range(MAX_TOLD + 7))).sentences()
    assert len(first) == MAX_TOLD
    assert first[0] == (
        "there is no project 'p0': 1 of the lines becomes a dead letter; `scorekeeper projects list` shows them"
    )
    assert last == "nor are there 7 more of the projects that are named"


def test_of_any_number_of_names_few_are_kept() -> None:
    unknown = claims([], *map(str, range(MAX_NAMES + 1)), "0").as_json()["unknownProjects"]
    assert (len(unknown), unknown["0"]) == (MAX_NAMES, 2)


def test_where_lines_without_a_project_have_one_and_projects_are_not_known_nothing_is_told() -> None:
    found = claims(None, "", "nobody-knows")
    found.default = "shop"
    assert found.as_json() == {"withoutProject": 1, "unknownProjects": None}
    assert list(found.sentences()) == []


HERE = Running(url="", kafka="127.0.0.1:9092", redis="", database="sqlite:////here/scorekeeper.db", dataDir="/here")
ELSEWHERE = "postgresql+psycopg://elsewhere/scorekeeper"
SETTINGS = Settings(data_dir=Path("/here"))


@pytest.mark.parametrize(
    ("running", "settings", "is_known"),
    [
        (HERE, {}, True),
        (HERE, {"kafka": HERE.kafka}, True),
        (None, {}, False),
        (HERE, {"kafka": "elsewhere:9092"}, False),
        (HERE, {"database": SecretStr(ELSEWHERE)}, False),
        (replace(HERE, database=ELSEWHERE), {}, False),
        (replace(HERE, database=ELSEWHERE), {"database": SecretStr(ELSEWHERE)}, False),
    ],
)
async def test_projects_are_looked_up_only_where_everything_runs_here(
    monkeypatch: pytest.MonkeyPatch, running: Running | None, settings: dict[str, Any], is_known: bool
) -> None:
    monkeypatch.setattr("app.embedded.running.find_record", lambda _: running)
    asked: list[bool] = []

    def projects() -> list[Any]:
        asked.append(True)
        return [SimpleNamespace(key="shop")]

    parts = SimpleNamespace(
        settings=SETTINGS.model_copy(update=settings), definitions=SimpleNamespace(projects=projects)
    )
    found = claims(None, "shop", "other")
    await found.look(cast(Parts, parts))
    assert (found.as_json()["unknownProjects"], bool(asked)) == ({"other": 1} if is_known else None, is_known)


async def test_a_database_that_does_not_answer_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    def projects() -> list[Any]:
        raise StoreUnavailable("sql", "locked")

    monkeypatch.setattr("app.embedded.running.find_record", lambda _: HERE)
    found = claims(None, "other")
    await found.look(cast(Parts, SimpleNamespace(settings=SETTINGS, definitions=SimpleNamespace(projects=projects))))
    assert found.as_json()["unknownProjects"] is None


async def arrived(source: FileIO) -> list[list[tuple[int, bytes]]]:
    return [lines async for lines in arriving(source)]


async def test_lines_of_a_file_are_numbered_as_editors_number_them(tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_bytes(b"a\r\n\n  \n" + b"b" * 3_000_000 + b"\nc")
    with open_input(file) as source:
        found = [line for lines in await arrived(source) for line in lines]
    assert found == [(1, b"a"), (4, b"b" * 3_000_000), (5, b"c")]


async def test_lines_of_a_pipe_come_when_they_are_written_and_then_nothing() -> None:
    reading, writing = os.pipe()
    with FileIO(reading) as source, FileIO(writing, "w") as pipe:
        lines = arriving(source)
        pipe.write(b"a\nb")
        assert await anext(lines) == [(1, b"a")]
        assert await anext(lines) == []
        pipe.write(b"b\nc\n")
        assert await anext(lines) == [(2, b"bb"), (3, b"c")]
        pipe.write(b"d")
        pipe.close()
        assert [line async for more in lines for line in more] == [(4, b"d")]


@pytest.mark.parametrize("name", ["absent", "folder"])
def test_a_file_that_cannot_be_read_is_wrong_use(scorekeeper: Scorekeeper, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    ended = scorekeeper("publish", name)
    assert ended.code == 2
    assert ended.err.startswith(f"scorekeeper: {name} cannot be read (")


def test_what_cannot_be_read_beside_the_events_is_not_called_the_events(
    scorekeeper: Scorekeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "events").write_text('{"type": "x"}')
    monkeypatch.setenv("SCOREKEEPER_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("SCOREKEEPER_KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("SCOREKEEPER_KAFKA_SSL_CAFILE", "absent.pem")
    ended = scorekeeper("publish", "events")
    assert ended.code == 2
    assert ended.err.startswith("scorekeeper: SCOREKEEPER_KAFKA_SSL_CAFILE: absent.pem cannot be read (")


@pytest.mark.kafka
def test_a_line_is_sent_though_the_input_stays_open_and_ctrl_c_tells_how_many(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(1)
    at = Topics(kafka_bootstrap)
    positions = list(at.describe([topic])[0].positions())
    environment = {**os.environ, "SCOREKEEPER_KAFKA": kafka_bootstrap, "SCOREKEEPER_TOPIC": topic}
    with subprocess.Popen(
        # Who runs the tests in the background ignores Ctrl-C, and so would all that they start.
        ["env", "--default-signal=INT", *COMMAND, "publish", "-", "--project", "shop"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as publishing:
        assert publishing.stdin is not None
        publishing.stdin.write(b'{"type": "x"}\n{"type": "y"}\n')
        publishing.stdin.flush()
        eventually(lambda: [end for _, end in at.ends(positions).values()] == [2], PATIENCE_SECONDS, "two events")
        publishing.send_signal(signal.SIGINT)
        # Its input is open still.
        assert publishing.wait(PATIENCE_SECONDS) == 130
        assert publishing.stdout is not None
        assert publishing.stderr is not None
        assert (publishing.stdout.read(), publishing.stderr.read()) == (b"published 2\n", b"")


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("text", "code", "out"),
    [
        (b"no JSON\nnor this\n", 1, "published 0\n"),
        (b'{"type": "x"}\nno JSON\n', 0, "published 1\n"),
        (b"", 0, "published 0\n"),
    ],
    ids=["nothing but refused lines", "one that is not", "no line at all"],
)
def test_the_exit_code_is_1_when_every_line_was_refused(
    scorekeeper: Scorekeeper,
    monkeypatch: pytest.MonkeyPatch,
    kafka_bootstrap: str,
    make_topic: Callable[..., str],
    text: bytes,
    code: int,
    out: str,
) -> None:
    monkeypatch.setenv("SCOREKEEPER_KAFKA", kafka_bootstrap)
    monkeypatch.setenv("SCOREKEEPER_TOPIC", make_topic(1))
    Path("events").write_bytes(text)
    ended = scorekeeper("publish", "events", "--project", "shop")
    assert (ended.code, ended.out) == (code, out)
    assert ("nothing was published" in ended.err) == (code == 1)
