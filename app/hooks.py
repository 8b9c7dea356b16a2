"""A place to die at: the steps of the write path, for tests. Production has none."""

from __future__ import annotations

from typing import Protocol


class Hook(Protocol):
    """Called before each step."""

    def __call__(self, step: str) -> None: ...


def no_hook(step: str) -> None:
    """Production's hook."""
