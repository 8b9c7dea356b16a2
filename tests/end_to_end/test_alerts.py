"""Every alert rule fires when its cause is injected into real processes, and the pipeline's page says the same."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from axe_playwright_python.sync_playwright import Axe
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from playwright.sync_api import Browser, Page, expect

from app.streams.topics import Topics
from tests.chromium import PATIENCE_MS
from tests.end_to_end.alerting import Scrape, alerts, firing, look, scrape
from tests.end_to_end.processes import PATIENCE_SECONDS, Deployment, ForkedDeployment, eventually
from tests.end_to_end.test_page import browser as browser
from tests.end_to_end.test_page import sign_in, watch
from tests.servers.ports import free_port
from tests.servers.topics import delete_topic

pytestmark = [pytest.mark.kafka, pytest.mark.browser]

LAG = "scorekeeper_partition_lag_messages"
FRESH = "scorekeeper_partition_fresh_timestamp_seconds"


class Injections:
    """The deployment under fault; `firing` tells which alerts would fire if things went on as they are."""

    def __init__(self, scorekeeper: Deployment, promtool: str, worker_url: str, home: Path) -> None:
        self.scorekeeper = scorekeeper
        self.worker_url = worker_url
        self._promtool = promtool
        self._home = home
        self._producer: Any = KafkaProducer(bootstrap_servers=scorekeeper.environment["SCOREKEEPER_KAFKA"])
        self._sent = 0
        self.fired: set[str] = set()

    def close(self) -> None:
        self._producer.close()

    def value(self, url: str, name: str) -> float | None:
        """The sum of the metric's series at this process."""
        found = [value for series, value in scrape([url]).values.items() if series.startswith(name + "{")]
        return sum(found) if found else None

    def fires(self, expected: set[str], *urls: str, alone: bool = True) -> None:
        """These (and no others) at last: on a busy machine what should move may stand still between two scrapes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (expected == (found := self._judge(look(urls))) or (expected < found and not alone)):
            assert time.monotonic() < deadline, f"{found} fire, and not {expected}"
        self.fired |= expected

    def fires_for(self, first: Scrape, second: Scrape, expected: set[str]) -> None:
        found = self._judge((first, second))
        assert found == expected
        self.fired |= found

    def _judge(self, looked: tuple[Scrape, Scrape]) -> set[str]:
        return firing(self._promtool, self._home, looked)

    def both(self) -> tuple[str, str]:
        return self.scorekeeper.url, self.worker_url

    def send(self, number: int, name: str, **fields: Any) -> None:
        event = {"type": "purchase", "projectKey": "shop", **fields}
        for n in range(number):
            self._producer.send(self.scorekeeper.topic, json.dumps({**event, "id": f"{name}{n}"}).encode())
        self._producer.flush()
        self._sent += number

    def wait(self) -> None:
        """Until all that was sent is counted."""

        def received() -> int:
            return sum(row["received"] for row in self.scorekeeper.get("/api/pipeline")["partitions"])

        eventually(lambda: received() >= self._sent, what="counting")


def test_every_alert_fires_for_its_cause(
    browser: Browser,
    promtool: str,
    tmp_path: Path,
    kafka_bootstrap: str,
    redis_url: str,
    sqlite_url: str,
    make_topic: Callable[..., str],
) -> None:
    topic, port = make_topic(1), free_port()
    settings = {"SCOREKEEPER_METRICS_PORT": str(port)}
    with ForkedDeployment(tmp_path, kafka_bootstrap, redis_url, sqlite_url, topic, **settings) as scorekeeper:
        (tmp_path / "promtool").mkdir()
        state = Injections(scorekeeper, promtool, f"http://127.0.0.1:{port}", tmp_path / "promtool")
        worker = scorekeeper.start_worker()
        scorekeeper.start_api()
        scorekeeper.create_project("shop")
        eventually(lambda: len(scorekeeper.live_workers()) == 1, what="a worker with partitions")
        scorekeeper.post("/api/conversion-goals", {"name": "Purchase", "eventType": "purchase"})
        page = browser.new_page(base_url=scorekeeper.url)
        page.set_default_timeout(PATIENCE_MS)
        complaints = watch(page, scorekeeper.url)
        sign_in(page, scorekeeper)
        page.goto("/pipeline")

        state.send(20, "good")
        state.wait()
        state.fires(set(), *state.both())
        expect(page.locator("#balance")).to_contain_text("20 + 0 + 0 + 0 = 20 received")

        dead_letters(state, page)
        redis_evicts(state, redis_url, page)
        with closing(sqlite3.connect(tmp_path / "scorekeeper.db", timeout=60, isolation_level=None)) as database:
            definition_left_out(state, database)
            database_away(state, database)
        worker_stops(state, worker, page)
        messages_lost(state, worker, kafka_bootstrap, topic, page)
        counters_emptied(state, worker, redis_url, page)
        # While the database was away, the page was told so.
        assert [one for one in complaints if "503" not in one] == []
        topic_gone(state, kafka_bootstrap, topic)
        state.close()
    assert state.fired == set(alerts())


def moved(first: Scrape, second: Scrape, *names: str) -> bool:
    """Whether every series of the metrics has grown."""
    begins = tuple(name + "{" for name in names)
    return all(value > first.values[series] for series, value in second.values.items() if series.startswith(begins))


def dead_letters(state: Injections, page: Page) -> None:
    first = scrape(state.both())
    state.send(30, "bad", timestamp="yesterday")
    state.wait()
    clocks = ("scorekeeper_catalog_checked_timestamp_seconds", FRESH)
    eventually(lambda: moved(first, scrape(state.both()), *clocks), what="the next reports")
    second = scrape(state.both())
    state.fires_for(first, second, {"ScorekeeperDeadLetters"})

    box = page.locator("#letters li", has_text="invalid_timestamp")
    expect(box).to_contain_text("30")
    box.get_by_text("Newest samples").click()
    expect(box.locator("pre").first).to_contain_text("yesterday")
    box.get_by_role("button", name="Send the dead letters").click()
    expect(page.locator("#said")).to_contain_text("30 dead letters were sent again")
    expect(box).to_contain_text("60")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        report = Axe().run(page)
        assert report.violations_count == 0, report.generate_report()


def redis_evicts(state: Injections, redis_url: str, page: Page) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        eventually(lambda: state.value(state.scorekeeper.url, "scorekeeper_redis_keeps_keys") == 0, 60, "the alarm")
        state.fires({"ScorekeeperRedisEvicts"}, *state.both())
        expect(page.locator("#banner")).to_contain_text("maxmemory-policy")
        client.config_set("maxmemory-policy", "noeviction")
    eventually(lambda: state.value(state.scorekeeper.url, "scorekeeper_redis_keeps_keys") == 1, 60, "the all-clear")


def definition_left_out(state: Injections, database: sqlite3.Connection) -> None:
    (body,) = database.execute("SELECT body FROM definition_versions WHERE kind = 'conversion_goal'").fetchone()
    broken = json.dumps({**json.loads(body), "conditions": {"plan": {"$never": 1}}})

    def write(text: str) -> None:
        database.execute("UPDATE definition_versions SET body = ? WHERE kind = 'conversion_goal'", (text,))
        database.execute("UPDATE catalog SET revision = revision + 1")
        database.execute("UPDATE projects SET revision = (SELECT revision FROM catalog)")

    write(broken)
    eventually(lambda: state.value(state.worker_url, "scorekeeper_definitions_left_out") == 1, 60, "it to be left out")
    state.fires({"ScorekeeperDefinitionLeftOut"}, *state.both())
    write(body)
    eventually(lambda: state.value(state.worker_url, "scorekeeper_definitions_left_out") == 0, 60, "it to be back")


def database_away(state: Injections, database: sqlite3.Connection) -> None:
    database.execute("ALTER TABLE catalog RENAME TO away")
    eventually(lambda: state.value(state.scorekeeper.url, "scorekeeper_pipeline_readable") == 0, 60, "the outage")
    # What the worker shows may still be from before: it knew the catalog then, and shows so with its next report.
    first = scrape([state.worker_url])
    eventually(lambda: moved(first, scrape([state.worker_url]), FRESH), what="the worker's next report")
    state.fires({"ScorekeeperCatalogOld", "ScorekeeperStateUnknown"}, *state.both())
    database.execute("ALTER TABLE away RENAME TO catalog")
    eventually(lambda: state.value(state.scorekeeper.url, "scorekeeper_pipeline_readable") == 1, 60, "the recovery")


def worker_stops(state: Injections, worker: Any, page: Page) -> None:
    expect(page.locator("#workers")).to_contain_text("alive")
    worker.signal(signal.SIGSTOP)
    expect(page.locator("#banner")).to_contain_text("No worker counts")
    expect(page.locator("#workers")).to_contain_text("silent")
    state.send(10_001, "waiting")
    eventually(lambda: (state.value(state.scorekeeper.url, LAG) or 0) > 10_000, 60, "the lag")
    expected = {"ScorekeeperNoWorker", "ScorekeeperLag", "ScorekeeperNotFresh", "ScorekeeperCheckpointStuck"}
    state.fires(expected, state.scorekeeper.url)
    expect(page.locator("#partitions")).to_contain_text("nobody reads it")


def messages_lost(state: Injections, worker: Any, kafka: str, topic: str, page: Page) -> None:
    (position,) = Topics(kafka).describe([topic])[0].positions()
    end = Topics(kafka).ends([position])[position][1]
    admin: Any = KafkaAdminClient(bootstrap_servers=kafka)
    admin.delete_records({TopicPartition(topic, 0): end})
    admin.close()
    worker.signal(signal.SIGCONT)
    eventually(lambda: (state.value(state.scorekeeper.url, "scorekeeper_lost_messages") or 0) > 0, 60, "the report")
    eventually(lambda: state.value(state.worker_url, LAG) == 0, 60, "counting again")
    eventually(lambda: len(state.scorekeeper.live_workers()) == 1, 60, "the worker")
    state.fires({"ScorekeeperLoss"}, *state.both())
    expect(page.locator("#losses")).to_contain_text("left the log before they were counted")


def counters_emptied(state: Injections, worker: Any, redis_url: str, page: Page) -> None:
    worker.signal(signal.SIGSTOP)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    eventually(lambda: state.value(state.scorekeeper.url, "scorekeeper_rebuilding") == 1, 60, "the alarm")
    state.fires({"ScorekeeperNoWorker", "ScorekeeperRebuilding", "ScorekeeperNotFresh"}, state.scorekeeper.url)
    expect(page.locator("#no-workers")).to_be_visible()
    worker.signal(signal.SIGCONT)
    eventually(lambda: state.value(state.scorekeeper.url, "scorekeeper_rebuilding") == 0, 60, "the recovery")


def topic_gone(state: Injections, kafka: str, topic: str) -> None:
    delete_topic(kafka, topic)
    eventually(lambda: state.value(state.scorekeeper.url, "scorekeeper_kafka_answers") == 0, 60, "the alarm")
    state.fires({"ScorekeeperKafkaAway"}, state.scorekeeper.url, alone=False)
