"""`scorekeeper up`: everything on one machine, from its start to the end of its last process."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import redis

from app.cli.up import url_of
from app.embedded.ports import is_listening
from app.embedded.redis import start_redis
from app.embedded.running import find_record
from app.embedded.shop import Shop
from app.stores.generations import ACTIVE, spec_key
from config.settings import Settings
from tests.end_to_end.processes import COMMAND, PATIENCE_SECONDS, eventually, patiently
from tests.servers.ports import free_port
from tests.servers.secured import Authority

READY_SECONDS = 180.0


class House:
    """A running `up`."""

    def __init__(self, process: subprocess.Popen[str], ready_file: Path, environment: dict[str, str]) -> None:
        self.process = process
        self.ready_file = ready_file
        self.environment = environment
        self.ready = self.read()

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ready_file.read_text())
        return found

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        """The output of a command in the house's data directory."""
        out, err = self.both(*arguments, stdin=stdin, code=code)
        return out if code == 0 else err

    def both(self, *arguments: str, stdin: str = "", code: int = 0) -> tuple[str, str]:
        """What it prints, and what it tells beside."""
        ended = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
            timeout=240,
        )
        assert ended.returncode == code, ended.stderr
        return ended.stdout, ended.stderr

    def ask(self, method: str, path: str, **body: Any) -> Any:
        headers = {"x-api-key": self.ready["apiKey"], "idempotency-key": uuid.uuid4().hex}
        url, limit = self.ready["url"] + path, PATIENCE_SECONDS
        answer = patiently(lambda: httpx.request(method, url, headers=headers, json=body or None, timeout=limit))
        assert answer.is_success, answer.text
        return answer.json()


@contextmanager
def running(home: Path, *arguments: str, **settings: str) -> Iterator[House]:
    """`up` in `home`, ready; ended by SIGINT unless it has ended, and then nothing of it may be left."""
    ready_file = home / "ready.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCOREKEEPER_")}
    environment |= {
        "SCOREKEEPER_DATA_DIR": str(home / "data"),
        "SCOREKEEPER_SESSION_TIMEOUT_SECONDS": "2",
        **settings,
    }
    command = [*COMMAND, "up", "--port", "0", "--ready-file", str(ready_file), *arguments]
    with (home / "out.txt").open("w") as out, (home / "err.txt").open("w") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, text=True, env=environment)
    try:
        eventually(lambda: ready_file.exists() or process.poll() is not None, READY_SECONDS, "ready")
        assert process.poll() is None, (home / "err.txt").read_text()
        house = House(process, ready_file, environment)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        yield house
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_SECONDS) == 0
        eventually(lambda: not [one for one in family if _lives(one)], what="the end of every process")
    finally:
        process.kill()
        process.wait()


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(tmp_path_factory.mktemp("house"), "--workers", "2") as found:
        yield found


def test_it_says_where_everything_is_to_its_owner_alone(house: House) -> None:
    assert set(house.ready) == {"url", "projectKey", "apiKey", "kafka", "redis", "database", "dataDir", "pids"}
    assert house.ready["projectKey"] == "default"
    assert len(house.ready["pids"]["workers"]) == 2
    assert stat.S_IMODE(house.ready_file.stat().st_mode) == 0o600
    assert house.ready_file.with_name("out.txt").read_text() == f"ready {house.ready['url']}\n"


def test_published_events_are_counted_and_every_command_shows_the_same(house: House, tmp_path: Path) -> None:
    project = house.ready["projectKey"]
    before = json.loads(house.run("status", "--json"))
    house.ask("POST", "/api/conversion-goals", name="Purchase", eventType="purchase", valueProperty="amount")
    house.ask("POST", "/api/goals", metric="purchase", target=10, deadline="2099-12-31")
    events = list(islice(Shop(project, seed=7).events(), 3_000))
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join(json.dumps(event) for event in events) + "\nnot json\n")
    assert house.run("publish", str(file)) == "published 3000\n"
    assert house.run("wait", "--timeout", "120") == "all counted\n"

    wanted = sum(event["type"] == "purchase" for event in events)
    (goal,) = json.loads(house.run("goals", "--json", "--project", project))
    assert (goal["projectKey"], goal["current"]) == (project, wanted)
    assert json.loads(house.run("watch", "--once", "--json", "--project", project))[0]["current"] == wanted
    assert house.ask("GET", "/api/goals")[0]["current"] == wanted
    once = house.run("watch", "--once")
    for part in (f"{wanted:,}", "lag 0", "2 workers", "complete up to"):
        assert part in once
    assert f"{wanted:,}" in house.run("goals")

    status = json.loads(house.run("status", "--json"))
    mine, earlier = status["projects"][project], before["projects"].get(project, {}).get("received", 0)
    assert mine["received"] == earlier + 3_000 == mine["counted"] + mine["unmatched"] + mine["duplicate"]
    counted = sum(row["checkpoint"] for row in status["partitions"])
    assert counted == sum(row["checkpoint"] for row in before["partitions"]) + 3_000
    assert all(row["balanced"] and row["checkpoint"] == row["end"] for row in status["partitions"])
    assert len([worker for worker in status["workers"] if worker["alive"]]) == 2
    assert status["freshAsOf"]
    assert "purchase" not in house.run("status")


def test_an_event_that_names_no_project_gets_the_one_of_the_command(house: House) -> None:
    made = json.loads(house.run("projects", "create", "Header", "--json"))
    assert house.run("publish", "--project", made["projectKey"], stdin='{"type": "x"}\n') == "published 1\n"
    house.run("wait")
    assert json.loads(house.run("status", "--json"))["projects"][made["projectKey"]]["received"] == 1


def test_who_publishes_what_becomes_dead_letters_is_told_so(house: House) -> None:
    events = (
        '{"type": "x"}\n' + '{"type": "x", "projectKey": "defualt"}\n' * 2 + '{"type": "x", "projectKey": "default"}\n'
    )
    before = json.loads(house.run("wait", "--json"))
    published, told = house.both("publish", stdin=events)
    assert published == "published 4\n"
    assert told.splitlines() == [
        "scorekeeper: lines that name no project: 1; they become dead letters unless the workers have a "
        "SCOREKEEPER_DEFAULT_PROJECT: name one as `projectKey`, or with --project",
        "scorekeeper: there is no project 'defualt': 2 of the lines become dead letters; did you mean 'default'?",
    ]
    waited, told = house.both("wait")
    assert waited == "all counted\n"
    after = json.loads(house.run("wait", "--json"))
    last_at = after.pop("lastRejectedAt")
    assert after == {
        "lag": 0,
        "received": before["received"] + 4,
        "rejected": {"no_project": 1, "unknown_project": 2},
        "rejectedMeanwhile": 0,
    }
    assert told.startswith(
        f"scorekeeper: dead letters so far: 3 of {after['received']:,} events (no_project 1, unknown_project 2), "
    )
    assert told.endswith(
        f"since this wait began, the last one at {last_at}; `scorekeeper dead-letters list` shows why\n"
    )
    assert len(json.loads(house.run("dead-letters", "list", "--json"))) == 3


def test_a_rate_is_kept(house: House) -> None:
    begun = time.monotonic()
    house.run("publish", "--rate", "50", "--project", "default", stdin='{"type": "x"}\n' * 50)
    assert time.monotonic() - begun > 0.9


def test_a_deployment_that_has_all_it_needs_is_told_so(house: House) -> None:
    assert all(one["verdict"] == "good" for one in json.loads(house.run("doctor", "--json")))


def test_a_part_that_dies_is_started_again(house: House) -> None:
    before = house.read()["pids"]
    os.kill(before["api"], signal.SIGKILL)
    os.kill(before["workers"][0], signal.SIGKILL)

    def replaced() -> bool:
        now = house.read()["pids"]
        return bool(now["api"] != before["api"] and now["workers"][0] != before["workers"][0])

    eventually(replaced, what="new processes")
    eventually(lambda: _answers(house.ready["url"]), what="the API's answer")
    house.run("publish", "--project", "default", stdin='{"type": "x"}\n' * 10)
    house.run("wait", "--timeout", "120")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url + "/health/ready", timeout=2).is_success
    except httpx.HTTPError:
        return False


def test_a_second_one_in_the_same_directory_is_refused(house: House) -> None:
    said = house.run("up", "--port", "0", code=1)
    assert f"already (process {house.process.pid})" in said
    assert said.count("\n") == 1


def test_a_ready_file_that_cannot_be_written_is_named_before_anything_is_started(tmp_path: Path) -> None:
    file = tmp_path / "missing" / "ready.json"
    command = [*COMMAND, "up", "--data-dir", str(tmp_path / "data"), "--ready-file", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"--ready-file {file}: there is no folder {file.parent}" in ended.stderr
    assert not (tmp_path / "data").exists()


def test_a_port_in_use_is_named(tmp_path: Path, house: House) -> None:
    running_one = house.read()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        mine = ("--data-dir", str(tmp_path / "other"), "--ready-file", str(house.ready_file))
        said = house.run("up", *mine, "--port", port, code=1)
    assert said.startswith(f"scorekeeper: port {port} is in use")
    assert "--port" in said
    assert not (tmp_path / "other" / "up.lock").exists()
    assert house.read() == running_one, "the ready file is the first one's"


def test_the_port_it_has_chosen_is_given_to_nobody_else_before_its_api_listens(tmp_path: Path) -> None:
    # As long as Kafka does not answer, the API is not started.
    environment = {**os.environ, "SCOREKEEPER_KAFKA": f"127.0.0.1:{free_port()}"}
    command = [*COMMAND, "up", "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as starting:
        found = eventually(lambda: find_record(tmp_path), what="the record of where it is")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", urlsplit(found.url).port))
        assert not is_listening(urlsplit(found.url).port or 0)
        starting.send_signal(signal.SIGINT)
        assert starting.communicate(timeout=PATIENCE_SECONDS)[1].endswith("ending\n")


def write_of_another_version(url: str) -> None:
    """A generation that is shown, with another key scheme."""
    with redis.Redis.from_url(url) as client:
        client.hset(spec_key(1), "scheme", 99)
        client.set(ACTIVE, 1)


@pytest.mark.parametrize("is_named", [False, True], ids=["embedded", "named"])
def test_counters_of_another_version_are_refused_with_a_remedy(
    tmp_path: Path, redis_url: str, *, is_named: bool
) -> None:
    data, remedy = tmp_path / "data", "run `scorekeeper rebuild` of this version" if is_named else "another --data-dir"
    environment = {**os.environ, "SCOREKEEPER_DATA_DIR": str(data), "SCOREKEEPER_PORT": "0"}
    if is_named:
        environment["SCOREKEEPER_REDIS"] = redis_url
        write_of_another_version(redis_url)
    else:
        server = start_redis(data, free_port())
        write_of_another_version(server.url)
        server.stop()
    ready_file = tmp_path / "ready.json"
    ready_file.write_text("of one that was killed")
    command = [*COMMAND, "up", "--ready-file", str(ready_file)]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=PATIENCE_SECONDS
    )
    assert ended.returncode == 1, ended.stderr
    assert "key scheme 99" in ended.stderr
    assert remedy in ended.stderr
    assert "starting the API" not in ended.stderr
    assert not ready_file.exists()


def test_servers_that_the_settings_name_are_used(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, make_topic: Any
) -> None:
    topic = make_topic()
    settings = {
        "SCOREKEEPER_KAFKA": kafka_bootstrap,
        "SCOREKEEPER_REDIS": redis_url,
        "SCOREKEEPER_TOPIC": topic,
        "SCOREKEEPER_GROUP": topic,
        "SCOREKEEPER_SESSION_TIMEOUT_SECONDS": "6",
    }
    with running(tmp_path, **settings) as house:
        assert house.ready["kafka"] == kafka_bootstrap
        assert house.ready["redis"] == redis_url
        assert {process.name() for process in psutil.Process(house.process.pid).children()} & {"tansu"} == set()
        house.run("publish", "--project", "default", stdin='{"type": "x"}\n' * 100)
        house.run("wait", "--timeout", "120")
        assert json.loads(house.run("status", "--json"))["projects"]["default"]["received"] == 100


def test_beside_workers_of_others_it_does_not_wait_for_their_partitions(house: House, tmp_path: Path) -> None:
    servers = {f"SCOREKEEPER_{name.upper()}": house.ready[name] for name in ("kafka", "redis", "database")}
    with running(tmp_path, **servers) as beside:
        assert beside.ready["kafka"] == house.ready["kafka"]


def test_with_a_certificate_it_is_ready_over_https(house: House, tmp_path: Path) -> None:
    authority = Authority.make(tmp_path / "tls")
    settings = {f"SCOREKEEPER_{name.upper()}": house.ready[name] for name in ("kafka", "redis", "database")}
    settings["SCOREKEEPER_TLS_CERTIFICATE"] = str(authority.certificate_file)
    settings["SCOREKEEPER_TLS_KEY"] = str(authority.key_file)
    with running(tmp_path, **settings) as secured:
        url = secured.ready["url"]
        assert url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=authority.ca_file)
        assert httpx.get(f"{url}/health/ready", verify=trusting, timeout=PATIENCE_SECONDS).is_success


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:8000"),
        ({"host": "::"}, "http://[::1]:8000"),
        ({"host": "::1", "port": 80}, "http://[::1]:80"),
        ({"tls_certificate": "cert.pem", "tls_key": "key.pem"}, "https://127.0.0.1:8000"),
    ],
)
def test_the_url_is_one_that_this_machine_can_open(settings: dict[str, Any], url: str) -> None:
    assert url_of(Settings(**settings)) == url


def test_killed_it_takes_its_children_with_it_and_the_next_run_goes_on_with_the_demo(tmp_path: Path) -> None:
    with running(tmp_path, "--demo") as house:
        assert house.ready["projectKey"] == "demo-shop"
        first, goals = house.ready, eventually(lambda: _moved(house), what="a goal that moves")
        assert len(goals) == 7
        house.process.kill()
        house.process.wait()
        house.ready_file.unlink()
    with running(tmp_path, "--demo") as house:
        assert house.ready["apiKey"] == first["apiKey"]
        assert {goal["id"] for goal in house.ask("GET", "/api/goals")} == {goal["id"] for goal in goals}
        house.process.send_signal(signal.SIGTERM)
        assert house.process.wait(PATIENCE_SECONDS) == 0
    # Whether SQLite's journal is left beside its database is SQLite's business.
    files = {file.name for file in (tmp_path / "data").iterdir() if file.is_file()}
    assert files - {"scorekeeper.db-wal", "scorekeeper.db-shm"} == {"api-keys.json", "scorekeeper.db"}
    assert not (tmp_path / "ready.json").exists()


def _moved(house: House) -> list[dict[str, Any]]:
    goals: list[dict[str, Any]] = house.ask("GET", "/api/goals")
    return goals if any(goal["current"] for goal in goals) else []
