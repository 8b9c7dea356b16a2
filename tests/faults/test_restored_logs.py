"""A Kafka that is brought back whole from a backup: it gives its leaders' epochs since then again."""

from __future__ import annotations

import json
import shutil
import signal

import pytest

from tests.end_to_end.processes import eventually
from tests.faults.site import MakeSite, Site, long_only
from tests.servers.brokers import ApacheKafka, has_java

pytestmark = [
    pytest.mark.faults,
    pytest.mark.kafka,
    pytest.mark.skipif(not has_java(), reason="Apache Kafka needs Java and Maven"),
]


def save(kafka: ApacheKafka) -> None:
    kafka.kill()
    shutil.copytree(kafka.log, kafka.log.with_name("saved"))
    kafka.start()


def bring_back(kafka: ApacheKafka) -> None:
    kafka.kill()
    shutil.rmtree(kafka.log)
    kafka.log.with_name("saved").rename(kafka.log)
    kafka.start()


def witness(site: Site) -> tuple[int, int]:
    """Its epoch and its offset."""
    (text,) = site.redis.hvals(site.prefix(0) + "ep")
    epoch, offset, *_ = json.loads(text)
    return epoch, offset


@pytest.mark.parametrize(
    ("starts", "is_away"),
    [
        pytest.param(0, False, id="the same epoch"),
        pytest.param(1, True, id="an earlier epoch", marks=long_only),
    ],
)
def test_a_log_that_was_brought_back_and_has_grown_past_what_was_counted_is_counted_from_there(
    make_own_site: MakeSite, kafka: ApacheKafka, starts: int, is_away: bool
) -> None:
    # The dead letters go back too.
    site = make_own_site(seed=61, partitions=1, poison=0)
    (worker,) = site.start_workers(1)
    site.publish(200)
    site.wait_until_counted()
    save(kafka)
    for _ in range(starts):
        kafka.kill()
        kafka.start()
    site.publish(100)
    site.publish(100)
    site.wait_until_counted()
    eventually(lambda: witness(site)[1] > 200, 30, "a witness of what was not saved")
    before, (epoch, _) = site.log(), witness(site)
    if is_away:
        worker.stop()
    else:
        worker.signal(signal.SIGSTOP)
    bring_back(kafka)
    site.publish(600)
    if is_away:
        site.start_workers(1)
    else:
        worker.signal(signal.SIGCONT)
    site.wait_until_counted()
    assert site.losses() == {0: 200}
    assert site.differences(before + site.log()[200:]) == []
    assert (witness(site)[0] == epoch) == (not starts)
    proof = site.run("verify")
    assert (proof.returncode, proof.stderr.count("Traceback")) == (1, 0)
    assert f"{site.topic}/0: offsets 200 to 399 were told as lost at 2" in proof.stdout
