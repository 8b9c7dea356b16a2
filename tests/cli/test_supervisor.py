"""Keeping processes alive."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil
import pytest

from app.cli.supervisor import OurProcess, Part, Supervisor
from app.errors import EmbeddedUnavailable
from tests.end_to_end.processes import eventually

SLEEPER = "import signal; signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"


def _start(home: Path, code: str) -> OurProcess:
    return OurProcess("part", [sys.executable, "-c", code], home / "part.log", {})


def test_a_part_that_dies_is_started_again_after_a_pause_and_named(tmp_path: Path) -> None:
    told: list[str] = []
    supervisor = Supervisor(told.append)
    first = supervisor.keep("worker 1", lambda: _start(tmp_path, SLEEPER)).pid
    assert not supervisor.look_after()
    psutil.Process(first).kill()
    eventually(supervisor.look_after, what="a new start")
    assert told == ["worker 1 ended; it is started again in 0.5 s: see " + str(tmp_path / "part.log")]
    (second,) = supervisor.pids("worker")
    assert second != first
    supervisor.stop()
    assert not psutil.pid_exists(second)


@pytest.mark.parametrize("line", ["7", "[]", "{}", '{"message": 7, "level": "error"}', "no disk"])
def test_a_last_line_that_is_none_of_our_log_is_told_as_it_is(tmp_path: Path, line: str) -> None:
    told: list[str] = []
    supervisor = Supervisor(told.append)
    supervisor.keep("worker 1", lambda: _start(tmp_path, f"print({line!r}); raise SystemExit(3)"))
    eventually(lambda: supervisor.look_after() or told, 30, "its death")
    assert told[0] == f"worker 1 ended; it is started again in 0.5 s: {line}"
    supervisor.stop()


@pytest.mark.parametrize(
    ("level", "end", "said"),
    [
        ("warning", "os.kill(os.getpid(), 9)", "0.5 s: signal SIGKILL"),
        ("info", "sys.exit(3)", "0.5 s: exit code 3"),
        ("error", "sys.exit(3)", "0.5 s: no disk"),
    ],
)
def test_a_death_is_told_with_its_cause_and_not_with_what_was_said_before(
    tmp_path: Path, level: str, end: str, said: str
) -> None:
    told: list[str] = []
    line = json.dumps({"level": level, "message": "no disk\nat all"})
    code = f"import os, sys; print({line!r}, flush=True); {end}"
    supervisor = Supervisor(told.append)
    supervisor.keep("worker 1", lambda: _start(tmp_path, code))
    eventually(lambda: supervisor.look_after() or told, 30, "its death")
    assert told[0] == f"worker 1 ended; it is started again in {said}"
    supervisor.stop()


def test_the_pause_grows_while_a_part_keeps_dying(tmp_path: Path) -> None:
    told: list[str] = []
    supervisor = Supervisor(told.append)
    supervisor.keep("worker 1", lambda: _start(tmp_path, "print('no disk'); raise SystemExit(3)"))
    eventually(lambda: supervisor.look_after() or len(told) >= 2, what="a second death")
    eventually(lambda: supervisor.look_after() or len(told) >= 2, what="a second death")
    assert "0.5 s: no disk" in told[0]
    assert "1.0 s: no disk" in told[1]
    supervisor.stop()


def test_a_part_that_cannot_be_started_again_is_told_and_tried_again(tmp_path: Path) -> None:
    told: list[str] = []
    parts = iter([_start(tmp_path, SLEEPER)])

    def start() -> Part:
        for part in parts:
            return part
        raise EmbeddedUnavailable("the port is taken")

    supervisor = Supervisor(told.append)
    psutil.Process(supervisor.keep("the API", start).pid).kill()
    eventually(lambda: supervisor.look_after() or len(told) >= 3, what="a second attempt")
    assert told[1] == "the API cannot be started: the port is taken"
    supervisor.stop()


def test_one_that_does_not_listen_is_ended_nevertheless(tmp_path: Path) -> None:
    supervisor = Supervisor(lambda _: None)
    pid = supervisor.keep("worker 1", lambda: _start(tmp_path, DEAF)).pid
    eventually(lambda: "deaf" in (tmp_path / "part.log").read_text(), what="its start")
    supervisor.stop()
    assert not psutil.pid_exists(pid)
