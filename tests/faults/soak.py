"""A long run of random faults: `python -m tests.faults.soak --minutes 10 --seed N`. Exit code 0 when nothing differs.

The seed decides what is sent and what breaks, not when the machine gets round to it. With an even seed duplicates come
by any partition; with an odd one definitions are created, edited, paused and deleted meanwhile (which of two equal
events in different partitions is the first is decided by the readers, so the two are not mixed).
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.errors import EmbeddedUnavailable
from app.stores.redis_client import REDIS_ERRORS
from tests.faults.breaking import Breaker, Heal
from tests.faults.proxy import proxied
from tests.faults.site import Site, now_ms
from tests.servers.brokers import ApacheKafka, start_any

CHUNK = 1_000
FINAL_SECONDS = 180.0
MOST_BROKEN = 3


@dataclass(slots=True)
class _Due:
    at: float
    heal: Heal


class Soak:
    """One run. `say` is told what happens."""

    def __init__(self, site: Site, breaker: Breaker, seed: int, say: Callable[[str], None]) -> None:
        self._site = site
        self._breaker = breaker
        self._chance = random.Random(seed)
        self._say = say
        self._broken: list[_Due] = []
        self.faults: Counter[str] = Counter()
        self.sent = 0

    def run(self, seconds: float) -> list[str]:
        """Publish and break for so long; then heal, wait, and return the differences."""
        ends_at = time.monotonic() + seconds
        begun = time.monotonic()
        while time.monotonic() < ends_at or not self.faults:
            self._publish()
            self._heal(time.monotonic())
            self._breaker.keep_workers()
            if len(self._broken) < MOST_BROKEN and self._chance.random() < 0.6:
                self._break(time.monotonic() - begun)
        self._heal(float("inf"))
        self._breaker.keep_workers()
        self._publish()
        self._site.wait_until_counted(FINAL_SECONDS, meanwhile=self._breaker.keep_workers)
        self._say(f"counted; comparing {self.sent} messages")
        return self._site.differences()

    def _publish(self) -> None:
        number = self._chance.randrange(1, CHUNK)
        self._site.publish(number)
        self.sent += number

    def _break(self, at: float) -> None:
        name = self._chance.choice(sorted(self._breaker.ways))
        seconds = self._chance.uniform(0.2, 4.0)
        self.faults[name] += 1
        self._say(f"{at:7.1f} s  {name}")
        try:
            heal = self._breaker.ways[name]()
        except REDIS_ERRORS as refused:
            # Broken already: a read-only Redis cannot be emptied, a full one takes no settings.
            self._say(f"           refused: {refused}")
            return
        if heal is not None:
            self._broken.append(_Due(time.monotonic() + seconds, heal))

    def _heal(self, now: float) -> None:
        for due in [one for one in self._broken if one.at <= now]:
            self._broken.remove(due)
            due.heal()


def soak(home: Path, seed: int, seconds: float, say: Callable[[str], None], **settings: Any) -> Soak:
    """Run once on parts of its own; raises AssertionError with the differences."""
    broker = start_any(home / "kafka")
    changes_definitions = bool(seed % 2)
    site = None
    try:
        site = Site(home / "site", broker.bootstrap, seed=seed, spread=not changes_definitions, **settings)
        with proxied(site) as proxies:
            breaker = Breaker(site, proxies, seed, broker if isinstance(broker, ApacheKafka) else None)
            if changes_definitions:
                breaker.allow_changes()
            site.start_workers(2)
            run = Soak(site, breaker, seed, say)
            begun = now_ms()
            found = run.run(seconds)
            say(f"seed {seed}: {run.sent} messages in {(now_ms() - begun) / 1000:.0f} s; {dict(run.faults)}")
            assert not found, f"seed {seed}: {len(found)} differences:\n" + "\n".join(found[:50])
            return run
    finally:
        if site is not None:
            site.stop()
        broker.stop()


def main() -> int:
    """Parse the command line, run, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to have the same schedule again")
    parser.add_argument("--cluster", action="store_true", help="on a Redis Cluster of three shards")
    parser.add_argument("--keep", type=Path, default=None, help="a folder to keep the logs in")
    asked = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    say(f"seed {seed}")
    with TemporaryDirectory(prefix="scorekeeper-soak-") as temporary:
        home = asked.keep or Path(temporary)
        try:
            soak(home, seed, asked.minutes * 60, say, cluster=asked.cluster, SCOREKEEPER_POLL_RECORDS="1000")
        except (AssertionError, EmbeddedUnavailable) as wrong:
            cluster = " --cluster" if asked.cluster else ""
            say(f"{wrong}\nwrong; again with: make soak ARGS='--minutes {asked.minutes} --seed {seed}{cluster}'")
            return 1
    say("zero differences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
