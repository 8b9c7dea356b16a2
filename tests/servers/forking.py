"""Processes of ours that start at once: forked from one that has loaded the libraries, which takes a CPU second or two.

Each is a process as any other - its own id, session, environment and output; killed, frozen and ended as real ones
are - and loads by itself what reads the environment when it is loaded. The commands of the docs, `scorekeeper up` and
whatever is measured start as users start them.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from typing import Final

from app.cli.main import COMMANDS
from app.embedded.process import ChildProcess

SCOREKEEPER: Final = str(Path(sys.executable).parent / "scorekeeper")
_COMMANDS: Final = sorted({f"app.cli.{place.partition(':')[0]}" for place in COMMANDS.values()})
_LOADED: Final = [*_COMMANDS, "api.main", "app.bootstrap", "app.tracking", "app.streams.faust_app"]
"""Not `app.worker`: it makes its parts, from the environment, when it is loaded."""

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(_LOADED)


class ForkedProcess(ChildProcess):
    """A ChildProcess whose command is `scorekeeper …` or this Python's `-m MODULE …`."""

    def _start(self, command: list[str], environment: dict[str, str]) -> _Forked:
        return _Forked(command, environment, self.log, self.log)


def run_forked(
    command: Sequence[str], environment: Mapping[str, str], timeout_seconds: float
) -> subprocess.CompletedProcess[str]:
    """As subprocess.run does with captured texts, for the same commands. Raises TimeoutExpired."""
    with TemporaryDirectory(prefix="scorekeeper-forked-") as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        process = _Forked(list(command), {**os.environ, **environment}, output, errors)
        try:
            code = process.wait(timeout_seconds)
        finally:
            process.send_signal(SIGKILL)
        return subprocess.CompletedProcess(command, code, output.read_text(), errors.read_text())


class _Forked:
    """What is used of a Popen."""

    def __init__(self, command: list[str], environment: dict[str, str], output: Path, errors: Path) -> None:
        self._command = command
        python, *arguments = command
        assert python in {SCOREKEEPER, sys.executable}, command
        become = _run_command if python == SCOREKEEPER else _run_module
        self._process: ForkServerProcess = _forking.Process(
            target=_become,
            args=(become, arguments, environment, str(Path.cwd()), str(output), str(errors)),
            daemon=True,  # else a test's own end would wait for it
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._command, timeout or 0)
        return code


# -- in the child


def _become(
    become: Callable[[list[str]], None],
    arguments: list[str],
    environment: dict[str, str],
    folder: str,
    output: str,
    errors: str,
) -> None:
    """Be the process that the command would have started."""
    os.setsid()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    for descriptor, file in ((1, output), (2, errors)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    become(arguments)


def _die_with_parent() -> None:
    """The process that forked this one lives as long as any child does, so the kernel cannot tell."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), SIGKILL)


def _run_command(arguments: list[str]) -> None:
    from app.cli.entry import run

    sys.argv = [SCOREKEEPER, *arguments]
    sys.exit(run())


def _run_module(arguments: list[str]) -> None:
    assert arguments[0] == "-m", arguments
    sys.argv = arguments[1:]
    runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
