"""Where events of each project lie in the log: the newest few landmarks, told by workers, read for previews."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.domain.landmark import MOST_LANDMARKS, Landmark
from app.stores.redis_client import Client, as_store_errors

FORGOTTEN_SECONDS = 30 * 86_400
"""A project that was silent for so long has no recent events."""


class RedisLandmarks:
    """All of it may be lost: a reader then finds what lies at the end of the log. Raises StoreUnavailable."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def add(self, found: Mapping[str, Iterable[Landmark]]) -> None:
        """Remember these, each project's in the order given; may be repeated."""
        if not found:
            return
        with as_store_errors():
            async with self._client.pipeline(transaction=False) as pipe:
                for project, landmarks in found.items():
                    key = _key(project)
                    pipe.rpush(key, *(f"{landmark.position}@{landmark.offset}" for landmark in landmarks))
                    pipe.ltrim(key, -MOST_LANDMARKS, -1)
                    pipe.expire(key, FORGOTTEN_SECONDS)
                await pipe.execute()

    async def of(self, project: str) -> list[Landmark]:
        """The newest last, as they were told."""
        with as_store_errors():
            raw = await self._client.lrange(_key(project), 0, -1)
        pairs = (text.decode().rpartition("@") for text in raw)
        return [Landmark(position, int(offset)) for position, _, offset in pairs]


def _key(project: str) -> str:
    return f"sk:landmarks:{project}"
