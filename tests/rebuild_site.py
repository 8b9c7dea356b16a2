"""What rebuilds are tried on: a site that counts live, and a generation in memory that is counted beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.domain.beginning import WHOLE_LOG, Beginning
from app.domain.increments import Position
from app.domain.witness import Witness
from app.rebuilding import LettersAhead, Rebuild
from app.recounting import Counters, RecountProgress
from app.stores.memory import MemoryCounters
from app.tracking import OpenedGeneration
from tests.builders import NOW, RULES
from tests.faults.in_memory import Letters, log_of, traffic_catalog
from tests.live_site import LiveSite


class NewGeneration(MemoryCounters):
    """Implements NewCounters."""

    def __init__(self, beginning: Beginning = WHOLE_LOG) -> None:
        super().__init__(beginning=beginning)
        self.expected: Sequence[Position] = ()
        self.losses: list[Mapping[str, object]] = []
        self.fresh: Mapping[Position, tuple[int, int]] = {}
        self.told: dict[str, Witness] = {}

    async def witnesses(self, positions: Sequence[Position]) -> Sequence[Mapping[str, Witness]]:
        del positions
        return [self.told]

    async def tell_witness(self, position: Position, stripe: int, known: Witness | None, witness: Witness) -> bool:
        assert (stripe, self.told.get(position.name)) == (0, known)
        self.told[position.name] = witness
        return True

    async def expect_positions(self, positions: Sequence[Position]) -> None:
        self.expected = positions

    async def report_loss(self, loss: Mapping[str, object]) -> None:
        # Told before the checkpoint moves: who dies in between tells it again.
        assert self._stripes[0].checkpoints.get(str(loss["position"]), 0) == loss["from"]
        self.losses.append(loss)

    async def report_freshness(self, fresh: Mapping[Position, tuple[int, int]], now: int) -> None:
        del now
        self.fresh = fresh

    async def snapshot(self) -> Sequence[Counters]:
        (stripe,) = self._stripes
        return [{**self.owners(), "cp": dict(stripe.checkpoints)}]

    async def backfill_snapshot(self, name: str, goal: str, stripe: int) -> Counters:
        raise AssertionError((name, goal, stripe))


class LooksAtLog:
    """Implements LogWitnesses of a log that is cut at `cuts`."""

    def __init__(self) -> None:
        self.cuts: dict[Position, int] = {}

    async def last_below(self, ends: Mapping[Position, int]) -> Mapping[Position, Witness | None]:
        return {position: Witness(int(position in self.cuts), end, 0) for position, end in ends.items()}

    async def find_cuts(self, counted: Sequence[tuple[Position, int, Witness]]) -> Sequence[int | None]:
        return [self.cuts.get(position) for position, _, _ in counted]


class Stopped(Exception):
    """Somebody ends the rebuild."""


def ignore(_: RecountProgress) -> None:
    """Nobody looks at how far it is."""


def rebuild_of(site: LiveSite, store: NewGeneration, letters: Letters | None = None) -> Rebuild:
    async def note_counting(now: int) -> None:
        assert now == NOW

    async def counted_live(position: Position) -> int:
        return site.ends[position]

    counting, ahead = OpenedGeneration(store, RULES), LettersAhead(letters or Letters(), counted_live)
    spans, look = site.read_spans, LooksAtLog()
    return Rebuild(7, store, counting, site.definitions, ahead, site, look, spans, note_counting, lambda: NOW)


async def live_site(*, stripes: int = 1) -> LiveSite:
    site = LiveSite(log_of(9, 3_000), traffic_catalog(), stripes=stripes)
    await site.go_on(100)
    return site
