"""The product on servers that are locked as production locks them: SASL and TLS to Kafka, TLS and an ACL to Redis."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_up import running
from tests.end_to_end.processes import COMMAND
from tests.servers import is_ci
from tests.servers.brokers import has_java
from tests.servers.secured import PASSWORD, USER, Authority, SecuredKafka, SecuredRedis

Settings = dict[str, str]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings that reach a locked Kafka and a locked Redis."""
    if not has_java() and not is_ci():
        pytest.skip("a JDK and Maven are needed for a Kafka with SASL and TLS")
    home = tmp_path_factory.mktemp("secured")
    authority = Authority.make(home / "certificates")
    kafka = SecuredKafka(home / "kafka", authority)
    redis = SecuredRedis(home / "redis", authority)
    yield {
        "SCOREKEEPER_KAFKA": kafka.bootstrap,
        "SCOREKEEPER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "SCOREKEEPER_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "SCOREKEEPER_KAFKA_SASL_USERNAME": USER,
        "SCOREKEEPER_KAFKA_SASL_PASSWORD": PASSWORD,
        "SCOREKEEPER_KAFKA_SSL_CAFILE": str(authority.ca_file),
        "SCOREKEEPER_REDIS": redis.url,
    }
    redis.stop()
    kafka.stop()


@pytest.mark.kafka
@pytest.mark.postgres
def test_up_runs_on_locked_servers_and_a_real_database(secured: Settings, postgres_url: str, tmp_path: Path) -> None:
    with running(tmp_path, SCOREKEEPER_DATABASE=postgres_url, **secured) as house:
        house.ask("POST", "/api/conversion-goals", name="Purchase", eventType="purchase")
        goal = house.ask("POST", "/api/goals", metric="purchase", target=10, deadline="2099-12-31")
        lines = [json.dumps({"type": "purchase", "id": f"e{n % 200}"}) for n in range(300)] + ['{"id": "poison"}']
        house.environment["SCOREKEEPER_DEFAULT_PROJECT"] = "default"
        printed = house.run("publish", "-", "--project", "default", stdin="\n".join(lines))
        assert printed == "published 301\n"
        house.run("wait", "--timeout", "120")
        assert house.ask("GET", f"/api/goals/{goal['id']}")["current"] == 200
        assert "equal" in house.run("verify")
        assert json.loads(house.run("rebuild", "--json"))["differences"] == 0
        file = tmp_path / "counters.snapshot"
        house.run("snapshot", "save", str(file))
        house.run("snapshot", "load", str(file))
        assert [letter["reason"] for letter in json.loads(house.run("dead-letters", "list", "--json"))] == [
            "missing_type"
        ]
        verdicts = {one["subject"]: one["verdict"] for one in json.loads(house.run("doctor", "--json"))}
        assert "bad" not in verdicts.values(), verdicts
        assert PASSWORD not in house.run("settings", "--json")


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("changes", "subject", "said"),
    [
        ({"SCOREKEEPER_KAFKA_SASL_PASSWORD": "wrong"}, "Kafka", "SCOREKEEPER_KAFKA_SASL_USERNAME"),
        ({"SCOREKEEPER_REDIS": "wrong:password"}, "Redis", "AuthenticationError"),
    ],
)
def test_a_wrong_password_is_told_by_doctor(
    secured: Settings, tmp_path: Path, changes: Settings, subject: str, said: str
) -> None:
    settings = {**secured, **changes, "SCOREKEEPER_DATA_DIR": str(tmp_path)}
    if subject == "Redis":
        settings["SCOREKEEPER_REDIS"] = secured["SCOREKEEPER_REDIS"].replace(PASSWORD, "wrong")
    done = subprocess.run(
        [*COMMAND, "doctor", "--json"], env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    found = {one["subject"]: one for one in json.loads(done.stdout)}
    assert found[subject]["verdict"] == "bad"
    assert said in found[subject]["found"] + found[subject]["remedy"]
