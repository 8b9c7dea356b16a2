"""The record of what runs in a data directory: other commands find the embedded parts by it.

One `up` at a time holds the directory's lock, for as long as it lives: whoever can take the lock knows that nobody runs
there, and that a record is a remnant. Both files are the owner's alone (mode 0600): the record holds an API key.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from app.errors import EmbeddedUnavailable

LOCK = "up.lock"
RECORD = "running.json"


@dataclass(frozen=True, slots=True)
class Running:
    """What runs, and where; also the content of `--ready-file`, in its names."""

    url: str
    kafka: str
    redis: str
    database: str
    dataDir: str  # noqa: N815  # written as it is named outside
    projectKey: str = ""  # noqa: N815
    apiKey: str = ""  # noqa: N815
    pids: dict[str, Any] = field(default_factory=dict)


class DirectoryLock:
    """Held by the one `up` that runs in a data directory; the kernel lets it go with the process."""

    def __init__(self, data_dir: Path) -> None:
        """Raises EmbeddedUnavailable when another process holds it."""
        self._data_dir = data_dir
        make_private_directory(data_dir)
        self._file = _open(data_dir / LOCK)
        if not _try_lock(self._file):
            self._file.seek(0)
            pid = self._file.read().strip()
            self._file.close()
            message = (
                f"scorekeeper is running in {data_dir} already (process {pid or 'unknown'}): end that one, "
                "or choose another directory with --data-dir"
            )
            raise EmbeddedUnavailable(message)
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Remove the record and let others in."""
        (self._data_dir / RECORD).unlink(missing_ok=True)
        (self._data_dir / LOCK).unlink(missing_ok=True)
        self._file.close()


def write_record(data_dir: Path, running: Running) -> None:
    write_privately(data_dir / RECORD, json.dumps(asdict(running)))


def find_record(data_dir: Path) -> Running | None:
    """What runs in the directory now; None when nothing does."""
    if not (data_dir / LOCK).exists():
        return None
    with _open(data_dir / LOCK) as lock:
        if _try_lock(lock):
            return None
    try:
        return Running(**json.loads((data_dir / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        # It is being started or ended, or another version wrote it.
        return None


def write_privately(file: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    # Never into what somebody else laid there: a ready file may be wanted in a directory of many.
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        target.write(text)
    draft.replace(file)


def make_private_directory(directory: Path) -> None:
    """Raises EmbeddedUnavailable when it cannot be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        message = f"the data directory {directory} cannot be made ({error.strerror}): choose another with --data-dir"
        raise EmbeddedUnavailable(message) from error


def _open(file: Path) -> IO[str]:
    return os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
