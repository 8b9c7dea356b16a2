"""A store that is away for long: each process says so at most ten times a minute, takes no memory and no files, and
goes on after.

15 s of Redis's absence in every run; ten minutes of Redis, the broker and the database with SCOREKEEPER_TEST_LONG=1.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from app.embedded.process import ChildProcess
from app.stores.sql_keys import SqlKeys
from tests.end_to_end.processes import eventually
from tests.faults.site import IS_LONG, MakeSite, Site, long_only
from tests.servers.brokers import ApacheKafka
from tests.servers.forking import ForkedProcess
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer, start_postgres

pytestmark = [pytest.mark.faults, pytest.mark.kafka]

OUTAGE_SECONDS = float(os.environ.get("SCOREKEEPER_TEST_OUTAGE_SECONDS", "600" if IS_LONG else "15"))
SETTLED_SECONDS = 8.0
"""After this what a process needs in order to wait is there: the first errors' tracebacks, modules, pools."""
LINES_A_MINUTE = 10
GROWTH_BYTES = 30 << 20
MORE_FILES = 60
"""Sockets of refused connections among them, until the garbage collector comes by."""


def lines_by_cause(log: Path) -> Mapping[str, Sequence[datetime]]:
    """When each was told; all but the access log, which is a line a request."""
    found: dict[str, list[datetime]] = {}
    for line in map(json.loads, filter(lambda text: text.startswith("{"), log.read_text().splitlines())):
        # A cause is what the message says before it becomes particular.
        cause = line["logger"] + re.split(r"[:\d]", line["message"])[0]
        if line["logger"] != "api.access":
            found.setdefault(cause, []).append(datetime.fromisoformat(line["time"]))
    return found


def most_in_a_minute(told: Sequence[datetime]) -> int:
    """The most lines in any minute, but for the time between a line's moment and its being let through."""
    window = timedelta(seconds=59)
    return max((sum(first <= at < first + window for at in told) for first in told), default=0)


def most_lines_of_one_cause(log: Path) -> int:
    return max(map(len, lines_by_cause(log).values()), default=0)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@contextmanager
def an_api_with_readers(site: Site) -> Iterator[ChildProcess]:
    """An API process that is asked twice a second for its goals, and whether it is ready."""
    port = free_port()
    environment = {**site.environment, "SCOREKEEPER_PORT": str(port), "SCOREKEEPER_READS_PER_MINUTE": "0"}
    api = ForkedProcess("the API", [sys.executable, "-m", "api"], site.home / "api.log", environment)
    _, key = SqlKeys(site.database).create("shop", name="test")
    is_over = threading.Event()

    def read(path: str = "/api/goals", seconds: float = 10) -> int:
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{port}{path}", headers={"x-api-key": key}, timeout=seconds).status_code
        return 0

    def keep_reading() -> None:
        while not is_over.wait(0.5):
            read(seconds=5)
            read("/health/ready", 5)

    reader = threading.Thread(target=keep_reading)
    try:
        eventually(lambda: read() == 200, 60, "the API")
        reader.start()
        yield api
        eventually(lambda: read() == 200, 60, "the API's return")
        assert api.exit_code() is None
    finally:
        is_over.set()
        if reader.ident is not None:
            reader.join()
        api.kill()


def check_an_outage(
    site: Site, begin: Callable[[], object], end: Callable[[], object], is_told_in_full: Callable[[Path], bool]
) -> None:
    """`begin` and `end` it while there is something to count; prints the figures.

    It does not end before the worker's log `is_told_in_full`: who is told less than the limit proves no limit.
    """
    (worker,) = site.start_workers(1)
    with an_api_with_readers(site) as api:
        site.publish(500)
        site.wait_until_counted()
        begin()
        time.sleep(min(SETTLED_SECONDS, OUTAGE_SECONDS / 2))
        before = {each.name: resident_bytes(each.pid) for each in (worker, api)}
        files = {each.name: open_files(each.pid) for each in (worker, api)}
        time.sleep(OUTAGE_SECONDS)
        eventually(lambda: is_told_in_full(worker.log), 60, "the lines of an outage")
        grown = {each.name: resident_bytes(each.pid) - before[each.name] for each in (worker, api)}
        more_files = {each.name: open_files(each.pid) - files[each.name] for each in (worker, api)}
        end()
        site.publish(500)
        site.wait_until_counted(90)
    assert worker.exit_code() is None
    assert site.differences() == []
    for each in (worker, api):
        told = lines_by_cause(each.log)
        most = max(map(most_in_a_minute, told.values()), default=0)
        number = sum(map(len, told.values()))
        sys.stdout.write(
            f"{each.name}: {OUTAGE_SECONDS:g} s; at most {most} lines a minute and cause, {number} in all; "
            f"{grown[each.name] / (1 << 20):+.1f} MiB over {before[each.name] / (1 << 20):.0f}, "
            f"{more_files[each.name]:+} files over {files[each.name]}\n"
        )
        assert most <= LINES_A_MINUTE, told
        assert grown[each.name] < GROWTH_BYTES
        assert more_files[each.name] < MORE_FILES


def test_while_redis_is_away_it_is_told_ten_times_a_minute_and_takes_no_memory(make_site: MakeSite) -> None:
    site = make_site(seed=30, SCOREKEEPER_LOG_FORMAT="json")

    def begin() -> None:
        for shard in site.redis_server.shards:
            shard.admin.save()
        site.redis_server.kill()
        site.publish(500)

    check_an_outage(site, begin, site.redis_server.start, lambda log: most_lines_of_one_cause(log) >= LINES_A_MINUTE)


@long_only
def test_while_the_broker_is_away_it_is_told_ten_times_a_minute_and_takes_no_memory(
    make_site: MakeSite, tmp_path: Path
) -> None:
    broker = ApacheKafka(tmp_path / "kafka")
    try:
        site = make_site(seed=31, kafka=broker.bootstrap, SCOREKEEPER_LOG_FORMAT="json")
        check_an_outage(site, broker.kill, broker.start, lambda log: most_lines_of_one_cause(log) > 0)
    finally:
        broker.stop()


@long_only
@pytest.mark.postgres
def test_while_the_database_is_away_it_is_told_ten_times_a_minute_and_takes_no_memory(make_site: MakeSite) -> None:
    # Not below pytest's own folder, which another run beside this one closes to PostgreSQL's user.
    with TemporaryDirectory(prefix="scorekeeper-postgres-", ignore_cleanup_errors=True) as home:
        postgres: PostgresServer = start_postgres(Path(home) / "cluster")
        try:
            site = make_site(seed=32, database=postgres.create_database(), SCOREKEEPER_LOG_FORMAT="json")

            def end() -> None:
                eventually(postgres.has_started, 60, "PostgreSQL's return")

            def begin() -> None:
                postgres.kill()
                site.publish(500)
                site.wait_until_counted(60)

            check_an_outage(site, begin, end, lambda log: most_lines_of_one_cause(log) > 0)
        finally:
            postgres.stop()
