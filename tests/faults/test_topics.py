"""Topics that change under the workers: recreated, grown, emptied by retention, cut off; and dead letters refused."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from app.embedded.process import ChildProcess
from app.streams.doubts import FETCH_WAIT_MS
from tests.end_to_end.processes import eventually
from tests.faults.poison import POISON
from tests.faults.site import MakeSite, Site, long_only, now_ms
from tests.faults.traffic import CONVERSION_GOALS
from tests.servers.topics import add_partitions, delete_topic

pytestmark = [pytest.mark.faults, pytest.mark.kafka]


def recreate(site: Site) -> None:
    """Delete the topic and create it again under its name."""
    delete_topic(site.kafka, site.topic)
    eventually(lambda: site.topic not in site.topics.names(), 60, "the deletion")

    def is_created() -> bool:
        return site.topics.create(site.topic, site.partitions, config={"message.timestamp.type": "LogAppendTime"})

    eventually(is_created, 60, "the creation")


@pytest.mark.parametrize("number", [pytest.param(200, id="shorter", marks=long_only), pytest.param(3000, id="longer")])
def test_a_recreated_topic_is_counted_from_its_start(make_site: MakeSite, number: int) -> None:
    site = make_site(seed=31)
    workers = site.start_workers(2)
    site.publish(800)
    site.wait_until_counted()
    old = site.log()
    recreate(site)
    site.publish(number)
    site.wait_until_counted()
    assert site.differences(old + site.log()) == []
    assert [worker.exit_code() for worker in workers] == [None, None]
    assert site.losses() == {}


def test_a_topic_that_was_recreated_while_no_worker_ran_is_counted_from_its_start(make_site: MakeSite) -> None:
    site = make_site(seed=32)
    (worker,) = site.start_workers(1)
    site.publish(500)
    site.wait_until_counted()
    old = site.log()
    worker.stop()
    recreate(site)
    site.publish(900)
    site.start_workers(1)
    site.wait_until_counted()
    assert site.differences(old + site.log()) == []


def test_a_worker_waits_for_a_topic_that_does_not_exist_and_says_what_to_do(make_site: MakeSite) -> None:
    site = make_site(seed=30)
    missing = f"{site.topic}-more"
    site.more_topics = [missing]
    worker = site.start_worker()
    site.publish(300)
    told = f"waiting: kafka is unavailable: no topic with the id '{missing}': run `scorekeeper topics create`"
    eventually(lambda: told in worker.last_words(200), 60, "its words")
    site.topics.create(missing, 1)
    site.wait_until_counted()
    assert worker.exit_code() is None
    assert site.differences() == []


def test_of_a_recreated_topic_nothing_is_read_at_the_old_offsets(make_site: MakeSite) -> None:
    """The worker sees the new topic when that is longer already than what it had counted of the old one, and no request
    of its own was there to be refused."""
    site = make_site(seed=40, partitions=1, SCOREKEEPER_SESSION_TIMEOUT_SECONDS="20")
    (worker,) = site.start_workers(1)
    site.publish(200)
    site.wait_until_counted()
    old = site.log()
    worker.signal(signal.SIGSTOP)
    # Nobody sees when the broker has answered the request that was under way: it keeps it for so long.
    time.sleep(2 * FETCH_WAIT_MS / 1000)
    recreate(site)
    site.publish(600)
    worker.signal(signal.SIGCONT)
    site.wait_until_counted()
    received = {name: n for name, n in site.hashes()["acct"].items() if name.endswith("|received")}
    assert sorted(received.values()) == [200, 600]
    assert site.differences(old + site.log()) == []


def test_added_partitions_are_counted_from_their_start(make_site: MakeSite) -> None:
    site = make_site(seed=33, partitions=2)
    site.start_workers(2)
    site.publish(300)
    add_partitions(site.kafka, site.topic, 5)
    messages = [(sent.partition, sent.key, sent.value) for sent in site.more_traffic(5).take(600)]
    eventually(lambda: len(site.ends()) == 5, 60, "the new partitions")
    site.send(messages)
    site.wait_until_counted()
    assert site.differences() == []


def delete_records(site: Site, below: dict[int, int]) -> None:
    """What retention does: everything below these offsets is gone."""
    admin: Any = KafkaAdminClient(bootstrap_servers=site.kafka)
    try:
        admin.delete_records({TopicPartition(site.topic, number): offset for number, offset in below.items()})
    finally:
        admin.close()


def test_what_retention_deleted_before_it_was_counted_is_reported_to_the_message(make_site: MakeSite) -> None:
    site = make_site(seed=34, partitions=3)
    (worker,) = site.start_workers(1)
    site.publish(600)
    site.wait_until_counted()
    counted, before = site.log(), site.ends()
    worker.stop()
    site.publish(900)
    below = {0: before[0][1] + 40, 1: before[1][1] + 7, 2: before[2][1] - 5}
    delete_records(site, below)
    site.start_workers(2)
    site.wait_until_counted()
    assert site.losses() == {0: 40, 1: 7}
    kept = [one for one in site.log() if one.offset >= before[one.partition][1]]
    assert site.differences(counted + kept) == []


def test_goals_that_began_after_what_the_log_holds_no_more_are_not_doubted(make_site: MakeSite) -> None:
    """Redis is emptied after retention deleted the log's head: what is counted again is whole since then."""
    site = make_site(seed=40, partitions=2)
    site.start_workers(1)
    site.publish(300)
    site.wait_until_counted()
    delete_records(site, {0: 50})
    site.redis.flushall()
    site.wait_until_counted()
    (loss,) = site.told_losses()
    first = min((one for one in site.log() if one.partition == 0), key=lambda one: one.offset)
    assert (loss["partition"], loss["number"], first.offset) == (0, 50, 50)
    assert loss["before"] == first.at < loss["at"]


def test_retention_that_overtakes_running_workers_is_reported_to_the_message(make_site: MakeSite) -> None:
    site = make_site(seed=35, partitions=2)
    site.start_workers(1)
    site.publish(300)
    site.wait_until_counted()
    counted, before = site.log(), site.ends()
    site.redis_server.pause()
    site.publish(900)
    delete_records(site, {0: before[0][1] + 250})
    site.redis_server.resume()
    site.wait_until_counted()
    lost = site.losses().get(0, 0)
    assert 0 <= lost <= 250
    received = site.hashes()["acct"]
    whole = sum(number for name, number in received.items() if name.endswith("|received"))
    assert whole + lost == 1200
    if lost == 250:
        kept = [one for one in site.log() if one.offset >= before[one.partition][1]]
        assert site.differences(counted + kept) == []


def has_said(worker: ChildProcess, text: str) -> Callable[[], bool]:
    return lambda: text in worker.log.read_text()


def test_workers_that_are_set_to_read_different_topics_say_so(make_site: MakeSite) -> None:
    site = make_site(seed=42, partitions=1)
    first = site.start_worker()
    site.wait_until_joined(first)
    more = f"{site.topic}-more"
    site.topics.create(more, 1)
    site.more_topics.append(more)
    second = site.start_worker()
    for worker, own, other in (
        (first, site.topic, f"{site.topic}, {more}"),
        (second, f"{site.topic}, {more}", site.topic),
    ):
        said = f"this worker is set to read {own}, another one that lives {other}: give all the same SCOREKEEPER_TOPIC"
        eventually(has_said(worker, said), 60, "the warning")


def test_a_topic_that_is_taken_out_of_the_settings_does_not_hold_freshness_back(make_site: MakeSite) -> None:
    site = make_site(seed=37, partitions=1)
    removed = f"{site.topic}-removed"
    site.topics.create(removed, 1)
    site.more_topics.append(removed)
    (first,) = site.start_workers(1)
    begun = now_ms()
    eventually(lambda: site.fresh_as_of() > begun, 60, "freshness of both topics")
    first.stop()
    site.more_topics.clear()
    stopped = now_ms()
    site.start_workers(1)
    eventually(lambda: site.fresh_as_of() > stopped, 60, "freshness of the topic that is left")
    site.publish(50)
    site.wait_until_counted()
    assert site.differences() == []


def test_a_log_that_was_cut_off_is_reported_to_the_message(make_site: MakeSite) -> None:
    site = make_site(seed=36, partitions=1)
    (worker,) = site.start_workers(1)
    site.publish(400)
    site.wait_until_counted()
    log = site.log()
    worker.stop()
    # As if 50 messages more had been counted, which the log does not hold: an unclean election of a leader.
    for stripe in range(site.stripes):
        (position,) = site.redis.hkeys(site.prefix(stripe) + "cp")
        site.redis.hincrby(site.prefix(stripe) + "cp", position, 50)
    site.start_workers(1)
    eventually(lambda: site.losses() == {0: 50}, 60, "the report")
    site.publish(200)
    site.wait_until_counted()
    assert site.differences(log + site.log()[400:]) == []


def set_topic(site: Site, topic: str, **config: str) -> None:
    """Change a topic's settings."""
    admin: Any = KafkaAdminClient(bootstrap_servers=site.kafka)
    wanted = {name.replace("_", "."): value for name, value in config.items()}
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=wanted)])
    finally:
        admin.close()
    eventually(lambda: wanted.items() <= site.topics.config(topic).items(), what="the settings")


def test_a_producers_clock_hides_no_loss(make_site: MakeSite) -> None:
    """What is left of the log begins with a message that says to be older than every project."""
    site = make_site(seed=44, partitions=1)
    set_topic(site, site.topic, message_timestamp_type="CreateTime")
    (worker,) = site.start_workers(1)
    site.publish(100)
    site.wait_until_counted()
    worker.stop()
    counted = site.log()
    site.publish(50)
    producer = KafkaProducer(bootstrap_servers=site.kafka, acks="all")
    producer.send(site.topic, b"{}", partition=0, timestamp_ms=now_ms() - 86_400_000).get(60)
    producer.close(timeout=30)
    delete_records(site, {0: 150})
    site.start_workers(1)
    site.wait_until_counted()
    (loss,) = site.told_losses()
    assert (loss["from"], loss["number"]) == (100, 50)
    assert loss["before"] == loss["at"]
    assert site.differences(counted + site.log()) == []


def test_batches_of_every_codec_are_counted(make_site: MakeSite) -> None:
    """The broker packs them as the topic says, whatever producers send."""
    site = make_site(seed=52, partitions=2, spread=False)
    site.start_workers(1)
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        set_topic(site, site.topic, compression_type=codec)
        site.publish(100)
        site.wait_until_counted(60)
    assert site.differences() == []
    assert scorekeeper(site, "verify").startswith("equal: ")


def test_a_rebuild_that_overtakes_live_counting_leaves_no_dead_letter_out(make_site: MakeSite) -> None:
    site = make_site(seed=53, partitions=2, poison=0.1)
    (worker,) = site.start_workers(1)
    site.publish(200)
    site.wait_until_counted()
    worker.stop()
    site.publish(300)
    scorekeeper(site, "rebuild")
    site.start_workers(1)
    site.publish(50)
    site.wait_until_counted()
    assert site.differences() == []
    letters = site.read_all(f"{site.topic}.dead-letters")
    assert len(letters) == len(site.dead_letter_offsets()), "what live counting wrote is not written again"


def test_while_dead_letters_cannot_be_written_nothing_is_dropped(make_site: MakeSite) -> None:
    site = make_site(seed=37)
    (worker,) = site.start_workers(1)
    site.publish(200)
    site.wait_until_counted()
    before = site.checkpoints()
    set_topic(site, f"{site.topic}.dead-letters", max_message_bytes="10")
    site.send([(0, b"k", b"not JSON")])
    eventually(lambda: "the dead-letter topic" in worker.log.read_text(), 60, "the refusal")
    assert site.checkpoints()[0] == before[0]
    set_topic(site, f"{site.topic}.dead-letters", max_message_bytes="1048588")
    site.publish(200)
    site.wait_until_counted()
    assert site.differences(poison={**POISON, b"not JSON": "invalid_json"}) == []


def scorekeeper(site: Site, *arguments: str) -> str:
    """The command's standard output, on the site's parts."""
    done = site.run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_message_too_large_for_the_dead_letter_topic_is_kept_by_reference_and_replayed_once(
    make_site: MakeSite,
) -> None:
    site = make_site(seed=42, partitions=1)
    set_topic(site, f"{site.topic}.dead-letters", max_message_bytes="20000")
    site.start_workers(1)
    event = {"type": "purchase", "projectKey": "later", "data": {"amount": 5, "note": "x" * 200_000}}
    site.send([(0, b"k", json.dumps(event).encode())])
    site.wait_until_counted()
    (letter,) = json.loads(scorekeeper(site, "dead-letters", "list", "--json"))
    assert (letter["reason"], letter["value"]) == ("unknown_project", None)
    assert "by-reference" in letter
    scorekeeper(site, "projects", "create", "later")
    version = site.define("later", "conversion_goal", "later-cg", {**CONVERSION_GOALS[1]})
    eventually(lambda: now_ms() > version.effective_from, 60, "the definition's beginning")
    for _ in range(2):
        assert "replayed 1" in scorekeeper(site, "dead-letters", "replay")
        site.wait_until_counted()
    assert {name: site.hashes()["c:later-cg"][name] for name in ("n", "v")} == {"n": 1, "v": 5}


@pytest.mark.parametrize("share", [0.01, pytest.param(0.5, marks=long_only), 1.0])
def test_poison_harms_no_neighbour_and_no_worker(make_site: MakeSite, share: float) -> None:
    site = make_site(seed=38, poison=share)
    workers = site.start_workers(2)
    site.send_nothing()
    site.publish(600)
    site.wait_until_counted()
    assert site.differences() == []
    assert [worker.exit_code() for worker in workers] == [None, None]
    told = ["events cannot be counted" in worker.log.read_text() for worker in workers]
    assert any(told) == (share > 0.05)


def test_each_message_of_a_project_that_does_not_exist_is_rejected(make_site: MakeSite) -> None:
    site = make_site(seed=39, partitions=1)
    site.start_workers(1)
    hostile = ("{x}:*", "{sk:1:0}:gen", "shop\x00", "g:shop-goal-0", "../shop", "sh*p", "x" * 5000)
    site.send([(0, None, json.dumps({"type": "purchase", "projectKey": name}).encode()) for name in hostile])
    site.wait_until_counted()
    accounts = {name: number for name, number in site.hashes()["acct"].items() if number}
    assert {name.rpartition("|")[2]: number for name, number in accounts.items()} == {
        "received": len(hostile),
        "rejected:unknown_project": len(hostile),
    }
    assert not [name for name in site.hashes() if name.startswith("p:")]
