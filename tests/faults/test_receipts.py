"""Receipts on real parts: whatever dies, a reader who keeps one of each id sees every conversion exactly once."""

from __future__ import annotations

import json
import signal
import uuid

import pytest

from app.stores.generations import SCHEME, spec_key, stripe_prefix
from tests.end_to_end.processes import eventually
from tests.faults.receipts import receipt_differences
from tests.faults.site import MakeSite, Site
from tests.faults.traffic import CONVERSION_GOALS, PROJECTS

pytestmark = [pytest.mark.faults, pytest.mark.kafka]

GUARDED = {
    f"{project}-cg-{number}"
    for project in PROJECTS
    for number, body in enumerate(CONVERSION_GOALS)
    if body.get("counting", "every_event") != "every_event"
}


def site_with_receipts(make_site: MakeSite, seed: int) -> tuple[Site, str]:
    topic = f"receipts-{uuid.uuid4().hex[:12]}"
    site = make_site(seed=seed, SCOREKEEPER_RECEIPT_TOPIC=topic)
    site.topics.create(topic, 2)
    return site, topic


def wait_until_sent(site: Site) -> None:
    site.wait_until_counted()

    def is_empty() -> bool:
        return not any(site.redis.xlen(key) for key in site.redis.scan_iter(match="{sk:*}:out:*", count=1000))

    eventually(is_empty, 90, "empty outboxes")


def test_kills_at_any_step_lose_no_receipt(make_site: MakeSite) -> None:
    site, topic = site_with_receipts(make_site, 61)
    for step, time in (("receipts", "0"), ("receipts_sent", "1"), ("applied", "2")):
        site.publish(400)  # each time anew: the one that died may have left too little for the next one's step
        crashing = site.start_worker("tests.faults.crashing_worker", "SIGKILL", step, time)
        assert site.wait_until_ended(crashing) == -signal.SIGKILL
    site.start_workers(2)
    site.publish(300)
    site.running()[0].kill()
    site.start_worker()
    site.publish(300)
    wait_until_sent(site)
    log = site.log()
    bodies = [message.value or b"" for message in site.read_all(topic)]
    assert receipt_differences(bodies, site.answer(log), GUARDED) == []
    assert site.differences(log) == []


def test_what_is_left_is_sent_although_nothing_more_is_published_and_counting_again_repeats_the_same(
    make_site: MakeSite,
) -> None:
    site, topic = site_with_receipts(make_site, 62)
    site.publish(300)
    crashing = site.start_worker("tests.faults.crashing_worker", "SIGKILL", "receipts", "3")
    assert site.wait_until_ended(crashing) == -signal.SIGKILL
    left = sum(site.redis.xlen(key) for key in site.redis.scan_iter(match="{sk:*}:out:*", count=1000))
    assert left > 0
    site.start_worker()
    wait_until_sent(site)
    log = site.log()
    once = [message.value or b"" for message in site.read_all(topic)]
    assert receipt_differences(once, site.answer(log), GUARDED) == []

    site.redis.flushall()
    eventually(lambda: len(site.read_all(topic)) >= 2 * len(set(once)), 60, "all receipts again")
    wait_until_sent(site)
    again = [message.value or b"" for message in site.read_all(topic)]
    assert receipt_differences(again, site.answer(log), GUARDED) == []


def test_a_rebuild_the_switch_to_it_and_back_neither_lose_a_receipt_nor_tell_a_conversion_twice(
    make_site: MakeSite,
) -> None:
    site, topic = site_with_receipts(make_site, 63)
    site.start_workers(1)
    site.publish(300)
    wait_until_sent(site)
    before = len(site.read_all(topic))
    site.publish(300)
    rebuilt = json.loads(run(site, "rebuild", "--json"))
    site.publish(300)
    wait_until_sent(site)
    assert site.redis.get("sk:active") == str(rebuilt["generation"])
    assert before > 0
    assert run(site, "generations", "switch", "1")
    site.publish(100)
    wait_until_sent(site)
    log = site.log()
    bodies = [message.value or b"" for message in site.read_all(topic)]
    assert receipt_differences(bodies, site.answer(log), GUARDED) == []
    assert site.differences(log) == []


def test_a_generation_whose_receipts_are_not_sent_is_not_dropped(make_site: MakeSite) -> None:
    site, _ = site_with_receipts(make_site, 64)
    number = str(json.loads(run(site, "rebuild", "--no-switch", "--json"))["generation"])
    prefix = stripe_prefix(int(number), 0, site.stripes)
    site.redis.sadd(prefix + "outs", "events:0:x")
    entry = site.redis.xadd(prefix + "out:events:0:x", {"a receipt": "its body"})
    assert "1 receipt" in run(site, "generations", "drop", number, status=1)
    site.redis.hset(spec_key(int(number)), "scheme", SCHEME - 1)
    assert "1 receipt not sent" in run(site, "generations", "drop", number, status=1)
    site.redis.xdel(prefix + "out:events:0:x", entry)
    assert run(site, "generations", "drop", number)


def test_receipts_are_dropped_unsent_when_that_is_asked_for(make_site: MakeSite) -> None:
    site, _ = site_with_receipts(make_site, 67)
    number = str(json.loads(run(site, "rebuild", "--no-switch", "--json"))["generation"])
    site.redis.xadd(stripe_prefix(int(number), 0, site.stripes) + "out:events:0:x", {"a receipt": "its body"})
    run(site, "generations", "drop", number, status=1)
    assert run(site, "generations", "drop", number, "--with-receipts")
    assert site.redis.keys(f"{{sk:{number}:*") == []


def run(site: Site, *arguments: str, status: int = 0) -> str:
    """The command line beside the site's workers; what it says."""
    done = site.run(*arguments)
    assert done.returncode == status, done.stderr + done.stdout
    return done.stdout or done.stderr
