"""Whether the parts that requests need answer now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from app.sharing import SharedLooks

PATIENCE_SECONDS = 1.5


class Readiness:
    """`parts`: name -> what asks it, raising when it does not answer. Anybody may ask for readiness, without a key, so
    a crowd of them costs two looks at a time and no more."""

    def __init__(
        self, parts: Mapping[str, Callable[[], Awaitable[object]]], *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._parts = parts
        self._patience_seconds = patience_seconds
        self._looks: SharedLooks[Mapping[str, str | None]] = SharedLooks()

    async def check(self) -> Mapping[str, str | None]:
        """Each part -> None when it answers in time, else what is wrong."""
        return await self._looks.ask("", self._look)

    async def _look(self) -> Mapping[str, str | None]:
        problems = await asyncio.gather(*(self._problem(ask) for ask in self._parts.values()))
        return dict(zip(self._parts, problems, strict=True))

    async def _problem(self, ask: Callable[[], Awaitable[object]]) -> str | None:
        try:
            async with asyncio.timeout(self._patience_seconds):
                await ask()
        except Exception as error:  # noqa: BLE001  # whatever it is, the part does not answer
            return type(error).__name__
        return None
