"""The promise in large numbers: `make proof` runs each kind of fault by itself and then all together, with fixed seeds.

Every part counts its messages through its faults and is then compared, goal by goal, with the independent oracle.
Prints a row a part, and writes them as a table where `--table` says. Takes about three quarters of an hour on two
cores; `--scale 0.05` is a try-out.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kafka.errors import KafkaError

from app.stores.redis_client import REDIS_ERRORS
from tests.end_to_end.processes import eventually
from tests.faults.breaking import Breaker, Heal
from tests.faults.proxy import proxied
from tests.faults.site import SESSION_SECONDS, Site
from tests.servers.brokers import ApacheKafka, start_any

CHUNK = 1_500
FINAL_SECONDS = 600.0
UNDER_TRAFFIC_SECONDS = (0.0, 0.5)
"""How long after new messages begin to come a fault strikes."""
BROKEN_SECONDS: Mapping[str, tuple[float, float]] = {
    "freeze a worker": (SESSION_SECONDS + 0.5, SESSION_SECONDS + 2.5),
    "roll Redis back": (0.2, 2.0),
}


@dataclass(frozen=True, slots=True)
class Part:
    """`faults`: how often each way to break things happens. `pause`: seconds between two of them, from and to."""

    name: str
    seed: int
    messages: int
    faults: Mapping[str, int]
    pause: tuple[float, float]

    def scaled(self, scale: float) -> Part:
        faults = {name: max(1, round(number * scale)) for name, number in self.faults.items()}
        return Part(self.name, self.seed, max(1_000, round(self.messages * scale)), faults, self.pause)


PARTS: Sequence[Part] = (
    Part("workers killed", 101, 350_000, {"kill a worker": 100}, (0.2, 1.5)),
    Part("workers frozen past the session timeout", 102, 350_000, {"freeze a worker": 60}, (0.2, 1.5)),
    Part("broker killed or restarted", 103, 320_000, {"kill the broker": 13, "restart the broker": 12}, (0.5, 2.0)),
    Part("Redis killed, back at its last save", 104, 300_000, {"roll Redis back": 30}, (0.5, 2.0)),
    Part("Redis emptied", 105, 200_000, {"empty Redis": 8}, (1.0, 4.0)),
    Part(
        "all together",
        106,
        500_000,
        {
            "kill a worker": 100,
            "freeze a worker": 40,
            "kill the broker": 13,
            "restart the broker": 12,
            "roll Redis back": 20,
            "empty Redis": 12,
        },
        (0.0, 1.5),
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What a part came to."""

    part: Part
    done: Mapping[str, int]
    sent: int
    seconds: float
    differences: Sequence[str]


class Stream(threading.Thread):
    """Publishes beside the faults, so that they strike while something is counted; up to `allowed` messages."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self._site = site
        self.allowed = 0
        self.sent = 0
        self._is_ended = threading.Event()

    def run(self) -> None:
        while not self._is_ended.is_set():
            number = min(CHUNK, self.allowed - self.sent)
            if number <= 0:
                self._is_ended.wait(0.02)
                continue
            # With a broker that is away some may fail: the log says what is to be counted, and more are sent.
            with suppress(KafkaError):
                self._site.publish(number)
                self.sent += number

    def end(self) -> None:
        """Return when all that is allowed was sent."""
        eventually(lambda: self.sent >= self.allowed, FINAL_SECONDS, "publishing")
        self._is_ended.set()
        self.join()


class Campaign:
    """One part on a site."""

    def __init__(self, part: Part, site: Site, breaker: Breaker) -> None:
        self._part = part
        self._site = site
        self._breaker = breaker
        self._chance = random.Random(part.seed)
        self._due: list[tuple[float, Heal]] = []
        self._stream = Stream(site)
        self._done: Counter[str] = Counter()

    def run(self) -> Row:
        """Returns when everything was sent, broken, healed, counted and compared."""
        begun = time.monotonic()
        faults = [name for name, number in sorted(self._part.faults.items()) for _ in range(number)]
        self._chance.shuffle(faults)
        self._stream.start()
        for done, name in enumerate(faults, 1):
            self._stream.allowed = round(self._part.messages * done / len(faults))
            self._wait(self._chance.uniform(*UNDER_TRAFFIC_SECONDS))
            self._break(name)
            self._wait(self._chance.uniform(*self._part.pause))
        self._wait(max((at for at, _ in self._due), default=0.0) - time.monotonic())
        self._stream.end()
        self._site.wait_until_counted(FINAL_SECONDS, meanwhile=self._breaker.keep_workers)
        log = self._site.log()
        seconds = time.monotonic() - begun
        return Row(self._part, self._done, len(log), seconds, self._site.differences(log))

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            self._heal()
            self._breaker.keep_workers()
            if time.monotonic() >= until:
                return
            time.sleep(0.02)

    def _break(self, name: str) -> None:
        """Waits until there is a worker that counts, so that each fault strikes one."""

        def happened() -> bool:
            self._heal()
            self._breaker.keep_workers()
            try:
                if not self._breaker.counting():
                    return False
                heal = self._breaker.ways[name]()
            except REDIS_ERRORS:
                return False
            if heal is not None:
                seconds = self._chance.uniform(*BROKEN_SECONDS[name])
                self._due.append((time.monotonic() + seconds, heal))
            return True

        eventually(happened, 60, name)
        self._done[name] += 1

    def _heal(self) -> None:
        for due in [one for one in self._due if one[0] <= time.monotonic()]:
            self._due.remove(due)
            due[1]()


def run_part(home: Path, part: Part, cluster: bool) -> Row:
    """On parts of its own."""
    broker = start_any(home / "kafka")
    assert isinstance(broker, ApacheKafka), "the broker is broken here: it must be one of our own"
    site = None
    try:
        site = Site(home / "site", broker.bootstrap, seed=part.seed, cluster=cluster, SCOREKEEPER_POLL_RECORDS="2000")
        with proxied(site) as proxies:
            breaker = Breaker(site, proxies, part.seed, broker)
            site.start_workers(2)
            return Campaign(part, site, breaker).run()
    finally:
        if site is not None:
            site.stop()
        broker.stop()


HEADER = "| Part | Seed | Messages | Faults | Seconds | Differences |\n|---|---|---|---|---|---|\n"


def row_text(row: Row) -> str:
    """A row of the table."""
    faults = ", ".join(f"{name}: {number}" for name, number in sorted(row.done.items()))
    numbers = f"{row.part.seed} | {row.sent:,} | {faults} | {row.seconds:.0f} | {len(row.differences)}"
    return f"| {row.part.name} | {numbers} |\n"


def run(parts: Sequence[Part], cluster: bool, say: Callable[[str], None]) -> list[Row]:
    rows = []
    for part in parts:
        with TemporaryDirectory(prefix="scorekeeper-proof-") as home:
            rows.append(run_part(Path(home), part, cluster))
        say(row_text(rows[-1]))
        for difference in rows[-1].differences[:20]:
            say(f"  {difference}\n")
    return rows


def main() -> int:
    """Parse the command line, run, and say how it went. Exit code 0 when nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers")
    parser.add_argument("--cluster", action="store_true", help="on a Redis Cluster of three shards")
    parser.add_argument("--part", action="append", type=int, help="the seed of a part; all when none is given")
    parser.add_argument("--table", type=Path, help="a file for the table")
    asked = parser.parse_args()

    def say(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    say(HEADER)
    parts = [part.scaled(asked.scale) for part in PARTS if not asked.part or part.seed in asked.part]
    rows = run(parts, asked.cluster, say)
    done: Counter[str] = Counter()
    for row in rows:
        done.update(row.done)
    whole = f"\n{sum(row.sent for row in rows):,} messages; {dict(sorted(done.items()))}; "
    whole += f"{sum(len(row.differences) for row in rows)} differences\n"
    say(whole)
    if asked.table is not None:
        asked.table.write_text(HEADER + "".join(row_text(row) for row in rows) + whole, encoding="utf-8")
    return 1 if any(row.differences for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
