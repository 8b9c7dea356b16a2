"""Takes one protection out, to see that the tests notice. A pytest plugin (`-p tests.faults.sabotage --sabotage NAME`),
and a worker without that protection (`python -m tests.faults.sabotage NAME`). Nothing in the product knows of this.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pytest

PATIENCE_SECONDS = 12.0


def change_script(old: str, new: str) -> None:
    """Let every counter store of this process use another apply.lua."""
    from app.stores import redis

    assert redis._SCRIPT.count(old) == 1, f"apply.lua has changed: {old!r} is not there once"
    script = redis._SCRIPT.replace(old, new)
    _set(redis, "_SCRIPT", script)
    _set(redis, "_SHA", hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest())


def no_compare_and_set() -> None:
    change_script("if stored ~= expected then", "if false then")


def no_deduplication() -> None:
    from app.stores.memory import _Stripe

    change_script(
        "local function is_added(name, member)\n", "local function is_added(name, member)\n  do return true end\n"
    )
    _set(_Stripe, "_is_first", lambda *_: True)


def no_undo() -> None:
    change_script("  undo_all()\n", "")


def no_seek() -> None:
    """Read on from Kafka's committed offsets after a rebalance, and wherever the reader is after anything else."""
    from faust.transport.consumer import ThreadDelegateConsumer
    from faust.types import TP

    from app.streams.consumer import BatchConsumer
    from app.tracking import Tracker

    assign_again = Tracker.assign_again

    async def told_nothing(self: Tracker) -> Mapping[Any, int]:
        await assign_again(self)
        return {}

    async def seek_to_committed(self: Any) -> Mapping[TP, int]:
        starts: Mapping[Any, int] = await ThreadDelegateConsumer.seek_to_committed(self)
        await self.partitions.starts(list(starts))
        self._position = {tp: max(0, offset) for tp, offset in starts.items()}
        return starts

    _set(BatchConsumer, "seek_to_committed", seek_to_committed)
    _set(BatchConsumer, "rewind", lambda *_: None)
    _set(Tracker, "assign_again", told_nothing)
    _after(Tracker, "track", lambda _, outcome: replace(outcome, seek_to=None, recount=False))


def no_hole_check() -> None:
    from app.tracking import Batch, Tracker

    track = Tracker.track

    async def track_anything(self: Tracker, batch: Batch) -> Any:
        return await track(self, replace(batch, start=0))

    _set(Tracker, "track", track_anything)


def dead_letters_later() -> None:
    from app.tracking import DeadLetters, Tracker

    class Later:
        """Sends when the checkpoint has moved already."""

        def __init__(self, inner: DeadLetters) -> None:
            self._inner = inner
            self._pending: set[asyncio.Task[None]] = set()

        async def send(self, letters: Sequence[Any], position: Any) -> None:
            self._pending.add(asyncio.ensure_future(self._send(letters, position)))

        async def _send(self, letters: Sequence[Any], position: Any) -> None:
            await asyncio.sleep(0.3)
            await self._inner.send(letters, position)

    start = Tracker.__init__

    def start_with_later(self: Tracker, open_counting: Any, catalog: Any, dead_letters: Any, **rest: Any) -> None:
        start(self, open_counting, catalog, Later(dead_letters), **rest)

    _set(Tracker, "__init__", start_with_later)


def no_look_for_lost_writes() -> None:
    from app.tracking import Tracker

    async def never(_: Tracker) -> bool:
        return False

    _set(Tracker, "has_gone_back", never)


def no_doubt_about_a_topic() -> None:
    from app.streams.consumer import BatchConsumer

    async def never(*_: Any) -> bool:
        return False

    _set(BatchConsumer, "_is_of_another_topic", never)


def no_log_limit() -> None:
    from config.logging import RateLimit

    _set(RateLimit, "filter", lambda *_: True)


SABOTAGES: Final[Mapping[str, Callable[[], None]]] = {
    "compare-and-set": no_compare_and_set,
    "deduplication": no_deduplication,
    "seek": no_seek,
    "hole-check": no_hole_check,
    "dead-letters-first": dead_letters_later,
    "undo": no_undo,
    "topic-doubt": no_doubt_about_a_topic,
    "log-limit": no_log_limit,
    "lost-writes": no_look_for_lost_writes,
}


def _set(owner: Any, name: str, value: object) -> None:
    getattr(owner, name)  # what is gone cannot be taken out
    setattr(owner, name, value)


def _after(owner: Any, name: str, change: Callable[[Any, Any], Any]) -> None:
    original = getattr(owner, name)

    async def changed(self: Any, *arguments: Any) -> Any:
        return change(self, await original(self, *arguments))

    _set(owner, name, changed)


# -- as a pytest plugin


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sabotage", choices=sorted(SABOTAGES), help="Take this protection out.")


def pytest_configure(config: pytest.Config) -> None:
    from tests.faults import site

    name = config.getoption("--sabotage")
    if name:
        SABOTAGES[name]()
        site.SABOTAGE.append(name)
        _set(site, "patience", lambda seconds: min(seconds, PATIENCE_SECONDS))


def sabotage(names: Iterable[str]) -> None:
    """Take these protections out of this process."""
    for name in names:
        SABOTAGES[name]()


if __name__ == "__main__":
    sabotage(sys.argv[1:])
    from agents.__main__ import main

    sys.exit(main())
