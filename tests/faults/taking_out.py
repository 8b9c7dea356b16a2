"""How a protection is taken out of this process: by another attribute in its place, which must be there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def put(owner: Any, name: str, value: object) -> None:
    """Let `owner` have another `name`."""
    getattr(owner, name)  # what is gone cannot be taken out
    setattr(owner, name, value)


def after(owner: Any, name: str, change: Callable[[Any, Any], Any]) -> None:
    """Let a coroutine method return `change(self, result)`."""
    original = getattr(owner, name)

    async def changed(self: Any, *arguments: Any) -> Any:
        return change(self, await original(self, *arguments))

    put(owner, name, changed)


def after_start(owner: Any, change: Callable[[Any], None]) -> None:
    """Call `change` with each new object of a class."""
    start = owner.__init__

    def start_changed(self: Any, *arguments: Any, **named: Any) -> None:
        start(self, *arguments, **named)
        change(self)

    put(owner, "__init__", start_changed)


async def nothing(*_: Any, **__: Any) -> None:
    """In the place of a coroutine that is left out."""


async def never(*_: Any) -> bool:
    """In the place of a coroutine that looks for something."""
    return False


def with_settings(**settings: Any) -> None:
    """Let the Faust app have these settings, whatever ours are."""
    from app.streams.faust_app import ScorekeeperApp

    start = ScorekeeperApp.__init__

    def start_with(self: Any, *arguments: Any, **named: Any) -> None:
        start(self, *arguments, **{**named, **settings})

    put(ScorekeeperApp, "__init__", start_with)
