"""The record of what runs in a data directory, and its lock."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.embedded.running import DirectoryLock, Running, find_record, write_privately, write_record
from app.errors import EmbeddedUnavailable

RUNNING = Running(
    url="http://127.0.0.1:1", kafka="k:1", redis="redis://r", database="sqlite://", dataDir="d", apiKey="secret"
)


def test_a_record_is_found_while_its_writer_runs_and_not_after(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    write_record(tmp_path, RUNNING)
    assert find_record(tmp_path) == RUNNING
    lock.release()
    assert find_record(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_is_told_who_runs(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with pytest.raises(EmbeddedUnavailable, match=rf"already \(process {os.getpid()}\)"):
        DirectoryLock(tmp_path)
    lock.release()
    DirectoryLock(tmp_path).release()


def test_what_a_killed_process_left_is_no_record(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from app.embedded.running import *\n"
        "lock = DirectoryLock(Path(sys.argv[1]))\n"
        "write_record(Path(sys.argv[1]), Running('u', 'k', 'r', 'd', 'x'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / "running.json").exists()
    assert find_record(tmp_path) is None
    DirectoryLock(tmp_path).release()


def test_nobody_else_may_read_what_holds_a_key(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / "data")
    write_record(tmp_path / "data", RUNNING)
    for file in ((tmp_path / "data"), *(tmp_path / "data").iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    lock.release()


def test_a_key_is_not_written_into_what_somebody_else_laid_there(tmp_path: Path) -> None:
    theirs, file = tmp_path / "theirs", tmp_path / "ready.json"
    theirs.touch(mode=0o666)
    (tmp_path / f".ready.json.{os.getpid()}").symlink_to(theirs)
    write_privately(file, "secret")
    assert theirs.read_text() == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "secret"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    write_privately(file, "1" * 100_000)
    write_privately(file, "2")
    assert file.read_text() == "2"
    assert list(tmp_path.iterdir()) == [file]


def test_a_record_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    (tmp_path / "running.json").write_text('{"url": ')
    assert find_record(tmp_path) is None
    lock.release()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedUnavailable, match="choose another with --data-dir"):
        DirectoryLock(tmp_path / "file" / "data")
