"""Landmarks: the newest of each project, in one Redis and in a cluster."""

from __future__ import annotations

import pytest

from app.domain.landmark import MOST_LANDMARKS, Landmark
from app.errors import StoreUnavailable
from app.stores.redis_client import Client, connect
from app.stores.redis_landmarks import RedisLandmarks
from tests.servers.redises import RedisClusterServers


async def hold_the_newest(landmarks: RedisLandmarks) -> None:
    own = [Landmark("events:3:an@id", offset) for offset in range(MOST_LANDMARKS + 5)]
    await landmarks.add({})
    await landmarks.add({"shop": own[:10], "blog": [Landmark("events:0:", 7)]})
    await landmarks.add({"shop": own[10:]})
    assert await landmarks.of("shop") == own[5:]
    assert await landmarks.of("blog") == [Landmark("events:0:", 7)]
    assert await landmarks.of("nobody") == []


async def test_the_newest_of_each_project_are_kept(client: Client) -> None:
    await hold_the_newest(RedisLandmarks(client))


async def test_they_lie_in_any_shard(cluster: RedisClusterServers) -> None:
    client = connect(cluster.url, name="test", timeout_seconds=60.0)
    await hold_the_newest(RedisLandmarks(client))
    await client.aclose()


async def test_a_redis_that_is_away_is_said_to_be() -> None:
    landmarks = RedisLandmarks(connect("redis://127.0.0.1:1/0", name="test"))
    with pytest.raises(StoreUnavailable):
        await landmarks.of("shop")
    with pytest.raises(StoreUnavailable):
        await landmarks.add({"shop": [Landmark("events:0:", 1)]})
