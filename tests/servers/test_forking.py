"""A forked process is what the command would have started: its output, its end, its signals, its parent's death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.end_to_end.processes import eventually
from tests.servers.forking import SCOREKEEPER, ForkedProcess, run_forked


def lives(pid: int) -> bool:
    """Whoever would bury it may be gone, or take his time."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_command_says_and_returns_what_it_does_when_it_is_started(tmp_path: Path) -> None:
    environment = {"SCOREKEEPER_KAFKA": "one:9092", "SCOREKEEPER_DATA_DIR": str(tmp_path)}
    for arguments in (["settings", "--json"], ["settings", "--nonsense"], ["--version"]):
        command = [SCOREKEEPER, *arguments]
        started = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
        )
        forked = run_forked(command, environment, 60)
        assert (forked.returncode, forked.stdout, forked.stderr) == (
            started.returncode,
            started.stdout,
            started.stderr,
        )


def test_its_end_tells_what_ended_it(tmp_path: Path) -> None:
    process = ForkedProcess("it", [sys.executable, "-m", "http.server", "0"], tmp_path / "log")
    eventually(lambda: "Serving" in process.last_words(), what="the start")
    process.signal(signal.SIGSTOP)
    eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    assert process.exit_code() is None
    process.kill()
    assert process.exit_code() == -signal.SIGKILL


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    program = f"""
import pathlib, signal, sys
from tests.servers.forking import ForkedProcess
child = ForkedProcess("it", [sys.executable, "-m", "http.server", "0"], pathlib.Path({str(tmp_path / "log")!r}))
print(child.pid, flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    eventually(lambda: not lives(pid), what="its death")
