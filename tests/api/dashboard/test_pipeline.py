"""The pipeline's page: what it is made of."""

from __future__ import annotations

import json
import re

from api.dashboard.reasons import REASONS
from app.errors import Reason
from tests.api.conftest import World


def test_every_reason_is_explained_with_what_to_do() -> None:
    assert set(REASONS) == set(Reason)
    assert all(meaning and remedy for meaning, remedy in REASONS.values())


async def test_the_page_knows_what_its_key_may_do(world: World) -> None:
    await world.client.post("/session", json={"apiKey": world.project_keys["shop"]})
    html = (await world.client.get("/pipeline")).text
    found = re.search(r'<script type="application/json" id="given">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    given = json.loads(found[1])
    assert given["project"] == "shop"
    assert {"read", "write", "admin"} <= set(given["scopes"])
    assert set(given["reasons"]) == {str(reason) for reason in Reason}
