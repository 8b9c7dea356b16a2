"""An independent count: DuckDB computes every figure of 200 definitions from the raw data alone, with SQL of this file.

20,000 events in the suite; 1,000,000 with SCOREKEEPER_TEST_LONG=1. The product counts through its tracker into a real
Redis; DuckDB reads the same lines of JSON, and shares nothing with it but the definitions' meaning.
"""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from app.domain.catalog import build_catalog
from app.domain.fields import goal_owner
from app.domain.history import DefinitionHistory, Project
from app.domain.increments import Position
from app.proving import FixedCatalog
from app.recounting import NoDeadLetters
from app.stores.redis import RedisCounters
from app.stores.redis_client import connect
from app.tracking import Batch, OpenedGeneration, Tracker
from tests.builders import LogRecord, conversion_goal, goal
from tests.stores.counting import new_redis_store

EVENTS = 1_000_000 if os.environ.get("SCOREKEEPER_TEST_LONG") == "1" else 20_000
ZONE = "Europe/Berlin"
NOW = datetime(2026, 11, 5, 12, tzinfo=UTC)
"""Ten days after the clocks were set back in Berlin."""
STARTS_AT, DEADLINE = NOW - timedelta(days=26, hours=3, minutes=7), NOW - timedelta(days=3, seconds=1)
PARTITIONS = 4
TYPES = ("purchase", "signup", "pageview", "download", "refund")
PATHS = ("/", "/pricing", "/blog/one", "/blog/two", "/signup/complete", "/p/1", "/p/2")
PLANS = ("free", "pro", "team")
COUNTRIES = ("DE", "AT", "CH", "FR")
WHERE: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "true"),
    ({"urlPattern": "/pricing"}, "path = '/pricing'"),
    ({"urlPattern": "/blog/*"}, "path LIKE '/blog/%'"),
    ({"conditions": {"plan": "pro"}}, "plan = 'pro'"),
    ({"conditions": {"amount": {"$gte": 50}}}, "amount >= 50"),
    ({"conditions": {"country": {"$in": ["DE", "AT"]}}}, "country IN ('DE', 'AT')"),
    ({"conditions": {"$or": [{"plan": "team"}, {"amount": {"$lt": 5}}]}}, "(plan = 'team' OR amount < 5)"),
    ({"conditions": {"amount": {"$exists": False}}}, "amount IS NULL"),
    ({"urlPattern": "/p/:id", "conditions": {"plan": {"$ne": "free"}}}, "path LIKE '/p/_' AND plan <> 'free'"),
    ({"conditions": {"plan": {"$regex": "^(pro|team)$"}}}, "plan IN ('pro', 'team')"),
)
COUNTING = {"every_event": None, "once_per_session": "session", "once_per_visitor": "subject"}
PERIODS = (None, "day", "week", "month")
AGGREGATIONS = ("count", "sum", "unique", "rate")

Figures = dict[tuple[str, int | None], int | float]
"""(goal, start of its period in epoch ms or None) -> conversions, value in millionths, subjects, or the rate."""


@dataclass(frozen=True)
class Defined:
    """One conversion goal and the goal it feeds."""

    number: int
    event_type: str
    body: Mapping[str, Any]
    where: str
    counting: str
    aggregation: str
    period: str | None

    @property
    def denominator(self) -> int:
        return (self.number + 1) % 100


def definitions() -> list[Defined]:
    """100 conversion goals and 100 goals, of all kinds."""
    chance = random.Random(1)
    made = []
    for number in range(100):
        body, where = WHERE[number % len(WHERE)]
        counting = chance.choice(list(COUNTING))
        aggregation, period = AGGREGATIONS[number % 4], PERIODS[number // 4 % 4]
        made.append(Defined(number, TYPES[number // 7 % 5], body, where, counting, aggregation, period))
    return made


def write_events(path: Path) -> None:
    """Lines of JSON with copies; a visitor's are in one partition. Some are older than the product counts."""
    chance = random.Random(2)
    recent: list[dict[str, Any]] = []
    with path.open("w") as file:
        for number in range(EVENTS):
            if recent and chance.random() < 0.1:
                event = chance.choice(recent)
            else:
                visitor = chance.randrange(EVENTS // 20)
                data: dict[str, Any] = {"plan": chance.choice(PLANS), "country": chance.choice(COUNTRIES)}
                if chance.random() < 0.8:
                    data["amount"] = chance.randrange(10_000) / 100
                at = NOW - timedelta(milliseconds=chance.randrange(36 * 86_400_000))
                event = {
                    "id": f"e{number}",
                    "type": chance.choice(TYPES),
                    "projectKey": "shop",
                    "timestamp": at.isoformat(timespec="milliseconds"),
                    "url": "https://shop.example" + chance.choice(PATHS),
                    "visitorId": f"v{visitor}",
                    "data": data,
                }
                if chance.random() < 0.7:
                    event["sessionId"] = f"s{visitor}-{chance.randrange(3)}"
                recent.append(event)
                if len(recent) > 500:
                    recent.pop(0)
            file.write(json.dumps(event) + "\n")


def duckdb_figures(path: Path, defined: Sequence[Defined]) -> Figures:
    """Every figure, by SQL over the file."""
    database = duckdb.connect()
    database.execute(
        """
        CREATE TABLE raw AS
        SELECT row_number() OVER () AS line, id, type, "timestamp"::TIMESTAMPTZ AS moment, visitorId AS subject,
               sessionId AS session, replace(url, 'https://shop.example', '') AS path,
               data.plan AS plan, data.country AS country, data.amount AS amount
        FROM read_json(?, format = 'newline_delimited', columns = {
            id: 'VARCHAR', type: 'VARCHAR', "timestamp": 'VARCHAR', visitorId: 'VARCHAR', sessionId: 'VARCHAR',
            url: 'VARCHAR', data: 'STRUCT(plan VARCHAR, country VARCHAR, amount DECIMAL(18, 6))'})
        """,
        [str(path)],
    )
    oldest = (NOW - timedelta(days=35)).isoformat()
    database.execute(
        f"""CREATE TABLE events AS SELECT * FROM raw WHERE moment >= TIMESTAMPTZ '{oldest}'
            QUALIFY row_number() OVER (PARTITION BY id ORDER BY line) = 1"""
    )
    found: Figures = {}
    conversions = [_conversions(one) for one in defined]
    for one in defined:
        start = "NULL"
        if one.period is not None:
            local = f"date_trunc('{one.period}', timezone('{ZONE}', moment))"
            start = f"epoch_ms(timezone('{ZONE}', {local}))"
        figure = {
            "count": "count(*)",
            "sum": "CAST(coalesce(sum(amount), 0) * 1000000 AS HUGEINT)",
            "unique": "count(DISTINCT subject)",
            "rate": "count(*)",
        }[one.aggregation]
        query = f"SELECT {start} AS start, {figure} FROM ({{}}) GROUP BY 1"
        own = dict(database.execute(query.format(conversions[one.number])).fetchall())
        if one.aggregation == "rate":
            below = dict(database.execute(query.format(conversions[one.denominator])).fetchall())
            own = {at: own.get(at, 0) / number for at, number in below.items() if number}
        found.update({(f"goal-{one.number}", at): number for at, number in own.items() if number})
    return found


def _conversions(one: Defined) -> str:
    first = COUNTING[one.counting]
    inner = f"SELECT * FROM events WHERE type = '{one.event_type}' AND {one.where}"
    # The first of its session counts, also where it lies outside of the goal's time: then none of the session does.
    if first is not None:
        inner += f" AND {first} IS NOT NULL QUALIFY row_number() OVER (PARTITION BY {first} ORDER BY line) = 1"
    within = f"moment BETWEEN TIMESTAMPTZ '{STARTS_AT.isoformat()}' AND TIMESTAMPTZ '{DEADLINE.isoformat()}'"
    return f"SELECT * FROM ({inner}) WHERE {within}"


async def product_figures(redis_url: str, path: Path, defined: Sequence[Defined]) -> Figures:
    """What the product's own counters say, after its tracker counted the file."""
    versions = []
    for one in defined:
        body = {**one.body, "metric": f"m{one.number}", "counting": one.counting, "valueProperty": "amount"}
        versions.append(conversion_goal(f"cg-{one.number}", one.event_type, **body))
        fields: dict[str, Any] = {"metric": f"m{one.number}", "aggregation": one.aggregation}
        fields |= {"startsAt": STARTS_AT.isoformat(), "deadline": DEADLINE.isoformat()}
        if one.period is not None:
            fields["period"] = one.period
        if one.aggregation == "rate":
            fields["denominatorMetric"] = f"m{one.denominator}"
        versions.append(goal(f"goal-{one.number}", **fields))
    now = round(NOW.timestamp() * 1000)
    catalog = build_catalog(DefinitionHistory(1, now, [Project("shop", "shop", ZONE, 0)], versions))
    assert not catalog.left_out
    client = connect(redis_url, name="test", timeout_seconds=60.0)
    try:
        store = await new_redis_store(client)
        await _track(store, FixedCatalog(catalog), path, now)
        (stripe,) = await store.snapshot()
        return _read(stripe, defined)
    finally:
        await client.aclose()


async def _track(store: RedisCounters, catalog: FixedCatalog, path: Path, now: int) -> None:
    async def open_generation() -> OpenedGeneration:
        return OpenedGeneration(store, store.generation.rules)

    tracker = Tracker(open_generation, catalog, NoDeadLetters())
    positions = [Position("events", partition, "id") for partition in range(PARTITIONS)]
    waiting: dict[Position, list[LogRecord]] = {position: [] for position in positions}
    next_offset = dict(await tracker.assign(positions))

    async def flush(position: Position) -> None:
        start, records = next_offset[position], waiting[position]
        next_offset[position] = start + len(records)
        outcome = await tracker.track(Batch(position, start, next_offset[position], records))
        assert outcome.checkpoint == next_offset[position]
        waiting[position] = []

    with path.open("rb") as file:
        for line in file:
            visitor = int(line.partition(b'"visitorId": "v')[2].partition(b'"')[0])
            position = positions[visitor % PARTITIONS]
            own = waiting[position]
            own.append(LogRecord(next_offset[position] + len(own), line, now))
            if len(own) == 1_000:
                await flush(position)
    for position in positions:
        await flush(position)


def _read(stripe: Mapping[str, Mapping[str, int]], defined: Sequence[Defined]) -> Figures:
    found: Figures = {}
    for one in defined:
        by_period: dict[int | None, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for name, number in stripe.get(goal_owner(f"goal-{one.number}"), {}).items():
            if name != "last":
                letter, _, at = name.partition("@")
                by_period[int(at) if at else None][letter] = number
        for start, own in by_period.items():
            figure: float = own["n"]
            if one.aggregation == "sum":
                figure = own["v"] * 1_000_000 + own["u"]
            elif one.aggregation == "rate":
                figure = own["n"] / own["d"] if own["d"] else 0
            if figure:
                found[f"goal-{one.number}", start] = figure
    return found


async def test_duckdb_gives_the_same_figures(redis_url: str, tmp_path: Path) -> None:
    path, defined = tmp_path / "events.ndjson", definitions()
    write_events(path)
    wanted = duckdb_figures(path, defined)
    found = await product_figures(redis_url, path, defined)
    different = {
        key: (found.get(key), wanted.get(key)) for key in {*found, *wanted} if found.get(key) != wanted.get(key)
    }
    assert different == {}
    assert len(wanted) > 400
    assert {one.aggregation for one in defined for key in wanted if key[0] == f"goal-{one.number}"} == set(AGGREGATIONS)
