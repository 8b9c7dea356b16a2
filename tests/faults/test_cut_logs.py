"""A broker that comes back without the last messages that it had: they were counted, and others take their offsets."""

from __future__ import annotations

import signal

import pytest

from tests.faults.site import MakeSite, Site
from tests.servers.brokers import ApacheKafka, has_java

pytestmark = [
    pytest.mark.faults,
    pytest.mark.kafka,
    pytest.mark.skipif(not has_java(), reason="Apache Kafka needs Java and Maven"),
]


def cut_while_it_is_away(kafka: ApacheKafka, site: Site) -> int:
    """As if its machine had lost power before the last messages were on disk. How many messages are left."""
    kafka.kill()
    (segment,) = (kafka.log / f"{site.topic}-0").glob("*.log")
    data, ends, at = segment.read_bytes(), [0], 0
    while at < len(data):
        at += 12 + int.from_bytes(data[at + 8 : at + 12], "big")
        ends.append(at)
    left = ends[len(ends) * 2 // 3]
    segment.write_bytes(data[:left])
    kafka.start()
    ((_, end),) = site.ends().values()
    return end


@pytest.mark.parametrize("is_away", [False, True], ids=["lives", "away"])
def test_a_log_that_was_cut_and_has_grown_past_what_was_counted_is_counted_from_the_cut(
    make_own_site: MakeSite, kafka: ApacheKafka, is_away: bool
) -> None:
    site = make_own_site(seed=51, partitions=1)
    (worker,) = site.start_workers(1)
    for _ in range(20):
        site.publish(20)
    site.wait_until_counted()
    before = site.log()
    if is_away:
        worker.stop()
    else:
        worker.signal(signal.SIGSTOP)
    left = cut_while_it_is_away(kafka, site)
    assert 0 < left < len(before)
    site.publish(600)
    assert len(site.log()) > len(before)
    if is_away:
        site.start_workers(1)
    else:
        worker.signal(signal.SIGCONT)
    site.wait_until_counted()
    assert site.losses() == {0: len(before) - left}
    assert site.differences(before + site.log()[left:]) == []
    proof = site.run("verify")
    assert proof.returncode == 1
    assert f"{site.topic}/0: offsets {left} to {len(before) - 1} were told as lost at 2" in proof.stdout
