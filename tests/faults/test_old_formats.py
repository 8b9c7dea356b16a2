"""A log that Kafka wrote before version 0.10: its messages have no timestamp, and nobody knows when they came."""

from __future__ import annotations

import json

import pytest
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

from tests.end_to_end.processes import eventually
from tests.faults.site import MakeSite, Site, now_ms
from tests.servers.brokers import ApacheKafka, has_java

pytestmark = [
    pytest.mark.faults,
    pytest.mark.kafka,
    pytest.mark.skipif(not has_java(), reason="Apache Kafka needs Java and Maven"),
]

OLD = 3


def write_in_the_first_format(kafka: ApacheKafka, site: Site, values: list[bytes]) -> None:
    """At the log's end, while the broker is away."""
    ((_, end),) = site.ends().values()
    kafka.stop()
    folder = kafka.log / f"{site.topic}-0"
    (segment,) = folder.glob("*.log")
    builder = LegacyRecordBatchBuilder(magic=0, compression_type=0, batch_size=1 << 20)
    for offset, value in enumerate(values, end):
        assert builder.append(offset, timestamp=None, key=None, value=value)
    segment.write_bytes(segment.read_bytes() + bytes(builder.build()))
    # What the broker knew of it, so that it looks through the segment again.
    for known in (*folder.glob("*index"), *kafka.log.glob("*recovery-point*"), kafka.log / ".kafka_cleanshutdown"):
        known.unlink(missing_ok=True)
    kafka.start()
    assert {end + len(values)} == {until for _, until in site.ends().values()}


def test_messages_without_a_timestamp_are_dead_letters_and_count_once_replayed(
    make_own_site: MakeSite, kafka: ApacheKafka
) -> None:
    site = make_own_site(seed=61, partitions=1, poison=0)
    events = [json.dumps({"type": "purchase", "projectKey": "shop", "id": f"old-{n}"}).encode() for n in range(OLD)]
    dated = json.dumps({"type": "purchase", "projectKey": "shop", "id": "dated", "timestamp": now_ms()}).encode()
    write_in_the_first_format(kafka, site, [*events, dated])
    site.publish(100)
    site.start_workers(1)
    site.wait_until_counted(60)
    letters = json.loads(site.run("dead-letters", "list", "--json").stdout)
    assert [letter["reason"] for letter in letters] == ["invalid_timestamp"] * (OLD + 1)
    assert {letter["project"] for letter in letters} == {"shop"}
    verified = site.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    counted = site.hashes()["p:shop"]["counted"]
    assert f"replayed {OLD + 1}" in site.run("dead-letters", "replay").stdout
    site.wait_until_counted(60)
    eventually(lambda: site.hashes()["p:shop"]["counted"] == counted + OLD + 1, 30, "what was replayed")
    verified = site.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
