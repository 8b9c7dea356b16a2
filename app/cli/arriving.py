"""Lines of a file, a pipe or a terminal as they arrive. Nobody is kept waiting by input that does not come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path
from typing import Final

from app.cli.offline import STDIN

PAUSE_SECONDS: Final = 0.1
_READ_BYTES: Final = 1 << 20
_STDIN: Final = 0


class UnreadableInput(Exception):
    """It cannot be read any further; the message says why."""


def open_input(file: Path) -> FileIO:
    """A file, or stdin for `-`. May block, until somebody writes into a named pipe. Raises UnreadableInput."""
    try:
        return FileIO(_STDIN, closefd=False) if file == STDIN else FileIO(file)
    except OSError as error:
        raise UnreadableInput(error.strerror) from error


async def arriving(source: FileIO) -> AsyncIterator[list[tuple[int, bytes]]]:
    """(number, line) of those that came together, without their ends and without blank ones; no line, once, when no
    more came for PAUSE_SECONDS. Raises UnreadableInput."""
    number = 0
    begun: list[bytes] = []
    patience: float | None = None
    while True:
        if not await _is_readable(source, patience):
            patience = None
            yield []
            continue
        patience = PAUSE_SECONDS
        try:
            read = source.read(_READ_BYTES)
        except OSError as error:
            raise UnreadableInput(error.strerror) from error
        if read is None:
            continue  # Somebody has made it non-blocking, and another one was quicker.
        if read and b"\n" not in read:
            begun.append(read)
            continue
        *lines, rest = b"".join([*begun, read]).split(b"\n")
        begun = [rest]
        if not read:
            lines.append(rest)
        yield [(at, text) for at, line in enumerate(lines, number + 1) if (text := line.rstrip(b"\r")).strip()]
        number += len(lines)
        if not read:
            return


async def _is_readable(source: FileIO, seconds: float | None) -> bool:
    """Whether there is anything to read, or its end, within so many seconds."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(source.fileno(), readable.set)
    except PermissionError:
        return True  # A file of a disk cannot be waited for: it is always there.
    try:
        async with asyncio.timeout(seconds):
            await readable.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(source.fileno())
    return True
