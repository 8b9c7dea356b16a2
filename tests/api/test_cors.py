"""Pages of other sites: off unless they are named, by exact origin, and told in the API's own words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import World, surrounded

SHOP = "https://shop.example"


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[World]:
    async with surrounded(tmp_path, cors_origins=(SHOP,)) as world:
        yield world


async def preflight(world: World, origin: str, method: str = "POST", header: str = "x-api-key") -> httpx.Response:
    headers = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": header}
    return await world.client.options("/api/events", headers=headers)


async def test_a_named_page_may_ask(opened: World) -> None:
    answer = await preflight(opened, SHOP)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SHOP)
    assert "access-control-allow-credentials" not in answer.headers
    read = await opened.call("GET", "/api/goals", headers={"origin": SHOP})
    assert read.headers["access-control-allow-origin"] == SHOP


@pytest.mark.parametrize(
    ("origin", "method", "header"),
    [
        ("https://shop.example.evil", "POST", "x-api-key"),
        ("http://shop.example", "POST", "x-api-key"),
        ("null", "POST", "x-api-key"),
        (SHOP, "PUT", "x-api-key"),
        (SHOP, "POST", "x-other"),
    ],
)
async def test_a_refusal_is_a_problem_like_any_other(opened: World, origin: str, method: str, header: str) -> None:
    answer = await preflight(opened, origin, method, header)
    assert (answer.status_code, answer.json()["code"]) == (400, "cors_refused")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.headers.get("access-control-allow-origin") == SHOP) == (origin == SHOP)


async def test_a_named_page_can_read_errors_that_come_before_the_routes(opened: World) -> None:
    headers = {"origin": SHOP, "content-type": "application/json"}
    answer = await opened.call("POST", "/api/events", content=b" " * 300_000, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (413, SHOP)
    stranger = await opened.call(
        "POST", "/api/events", content=b" " * 300_000, headers={**headers, "origin": "https://x"}
    )
    assert "access-control-allow-origin" not in stranger.headers


async def test_without_the_setting_no_page_is_allowed(world: World) -> None:
    answer = await world.call("GET", "/api/goals", headers={"origin": SHOP})
    assert "access-control-allow-origin" not in answer.headers
    assert (await preflight(world, SHOP)).status_code == 405
