"""Counting the whole log once more, into a generation that is not shown, while the one that is shown counts on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.beginning import Spans
from app.domain.folding import DeadLetter
from app.domain.increments import Position
from app.domain.loss import loss_of
from app.domain.witness import Witness
from app.errors import Conflict, StoreUnavailable
from app.filling import Filler
from app.ports import CatalogKeeper, CounterStore, DeadLetters
from app.proving import Snapshot, checkpoints_of, counters_of
from app.recounting import Comparison, RecountProgress, compare, recount
from app.rereading import LogSource, received_at
from app.tracking import OpenedGeneration, Tracker

log = logging.getLogger(__name__)

SHORT_ROUND = 2_000
"""A round that read at most so many messages took a moment, in which little came: it is the last one. So is one that
read more than half of what the round before it read: what comes meanwhile does not become less any more."""
NOTE_MS = 1_000
"""How often the generation is told that somebody counts into it."""


def require_topics(number: int, counted: Iterable[str], present: Iterable[Position]) -> None:
    """Raises Conflict where the generation of this number has counted a position, by its name, that is gone now: how
    much of it, and whether nothing of the topic that took its place, nobody knows."""
    gone = sorted({*counted} - {position.name for position in present})
    if gone:
        raise Conflict(
            f"{', '.join(gone)}: the topic was deleted, or taken out of SCOREKEEPER_TOPIC, while generation {number} "
            f"counted it: run `scorekeeper generations drop {number}` and rebuild again to count what there is now"
        )


class LogWitnesses(Protocol):
    """Looks at single messages of the log. Raises StoreUnavailable."""

    async def last_below(self, ends: Mapping[Position, int]) -> Mapping[Position, Witness | None]:
        """What bears witness of the log up to there; None where no message is near."""
        ...

    async def find_cuts(self, counted: Sequence[tuple[Position, int, Witness]]) -> Sequence[int | None]:
        """Of each, see `find_cut`."""
        ...


class NewCounters(CounterStore, Snapshot, Protocol):
    """Of the generation that is counted."""

    async def expect_positions(self, positions: Sequence[Position]) -> None: ...

    async def report_loss(self, loss: Mapping[str, object]) -> None: ...

    async def witnesses(self, positions: Sequence[Position]) -> Sequence[Mapping[str, Witness]]: ...

    async def tell_witness(self, position: Position, stripe: int, known: Witness | None, witness: Witness) -> bool: ...

    async def report_freshness(self, fresh: Mapping[Position, tuple[int, int]], now: int) -> None: ...


@dataclass(frozen=True, slots=True)
class LettersAhead:
    """Implements DeadLetters: those that the shown counting has not come to, and never will when it is not shown any
    more. Below its checkpoint all were written before that moved."""

    inner: DeadLetters
    counted_live: Callable[[Position], Awaitable[int]]
    """Up to where the counting that is shown is now."""

    async def send(self, letters: Sequence[DeadLetter], position: Position) -> None:
        reached = await self.counted_live(position)
        ahead = [letter for letter in letters if letter.record.offset >= reached]
        if ahead:
            await self.inner.send(ahead, position)


@dataclass(slots=True)
class Rebuild:
    """Of one generation. `count` may be repeated, also by another process after this one died: it goes on."""

    number: int
    store: NewCounters
    opened: OpenedGeneration
    catalog: CatalogKeeper
    dead_letters: DeadLetters
    log: LogSource
    log_witnesses: LogWitnesses
    spans: Callable[[], Awaitable[Spans]]
    note_counting: Callable[[int], Awaitable[None]]
    """Called once a second with the time of now: somebody counts into this generation."""
    now: Callable[[], int]

    async def count(self, on_progress: Callable[[RecountProgress], None]) -> int:
        """Return when what is left is little, or would not become less; the messages read. Says how fresh that is.

        Live counting goes on from there when the generation is shown. Raises StoreUnavailable, and Conflict when a
        topic was deleted meanwhile, or its log cut, or the generation deleted.
        """
        tracker, tell = self._make_tracker(), self._telling(on_progress)
        messages = read = 0
        while True:
            before = read
            asked_at, spans = self.now(), await self.spans()
            await self._bear_witness(spans)
            read = await recount(tracker, self.log, spans, tell, self._report_hole)
            messages += read
            await self._fill_backfills(tracker, spans)
            require_topics(self.number, [position.name for position in spans], await self.spans())
            if read <= SHORT_ROUND or 2 * read > before > 0:
                break
        await self._bear_witness(spans)
        await self.store.expect_positions(list(spans))
        await self.store.report_freshness({position: (asked_at, end) for position, (_, end) in spans.items()}, asked_at)
        return messages

    async def begins_like(self, shown: Snapshot) -> bool:
        """Whether both leave out the same of what the log holds. Raises StoreUnavailable."""
        spans = await self.spans()
        return self.store.beginning.within(spans) == shown.beginning.within(spans)

    async def compare_with(self, shown: Snapshot, on_progress: Callable[[RecountProgress], None]) -> Comparison | None:
        """With another generation that is counted meanwhile: counts on up to where that one stands, and compares there.

        None when there is no such place: that one is behind at some position, or its stripes are apart, or the log does
        not reach so far. None, too, when that one began elsewhere and has to hold other numbers. Raises
        StoreUnavailable.
        """
        if not await self.begins_like(shown):
            return None
        stripes, spans = await shown.snapshot(), await self.spans()
        reached = checkpoints_of(stripes)
        places = {position: set(reached.get(position.name, [0])) for position in spans}
        until = {position: (spans[position][0], min(max(own), spans[position][1])) for position, own in places.items()}
        await self._bear_witness(until)
        await recount(self._make_tracker(), self.log, until, self._telling(on_progress), self._report_hole)
        await self._bear_witness(until)
        ours = await self.store.snapshot()
        own = checkpoints_of(ours)
        if any(places[position] != set(own.get(position.name, [0])) for position in spans):
            return None
        return compare(counters_of(stripes), counters_of(ours))

    async def _bear_witness(self, spans: Spans) -> None:
        """See that the log is the one that was counted so far, and tell of it up to where it is counted next: who goes
        on from there would not know of a cut. Raises Conflict where it was cut."""
        # Taken before it is compared: what takes the place of a cut log later is another than what is told.
        last = await self.log_witnesses.last_below({position: end for position, (_, end) in spans.items()})
        told, reached = await self.store.witnesses(list(spans)), await self.store.checkpoints(list(spans))
        counted = [
            (position, stripe, at, told[stripe].get(position.name))
            for position, own in zip(spans, reached, strict=True)
            for stripe, at in enumerate(own)
        ]
        asked = [(position, at, known) for position, _, at, known in counted if known is not None]
        cuts = iter(await self.log_witnesses.find_cuts(asked))
        for position, stripe, at, known in counted:
            cut = None if known is None else next(cuts)
            if cut is not None and cut < at:
                raise Conflict(
                    f"{position.topic}/{position.partition} was cut at offset {cut}, and generation {self.number} had "
                    f"counted it up to {at}: run `scorekeeper generations drop {self.number}` and rebuild again to "
                    "count what there is now"
                )
            newer = last[position]
            if newer is not None:
                line = 0 if known is None else known.line + (cut is not None)
                await self.store.tell_witness(position, stripe, known, newer._replace(line=line))

    def _telling(self, on_progress: Callable[[RecountProgress], None]) -> Callable[[RecountProgress], Awaitable[None]]:
        noted = 0

        async def tell(progress: RecountProgress) -> None:
            nonlocal noted
            on_progress(progress)
            if self.now() - noted > NOTE_MS:
                noted = self.now()
                try:
                    await self.note_counting(noted)
                except StoreUnavailable as unavailable:
                    # The counting waits for the store, and says so; a second later it is told again.
                    log.debug("it is not noted that generation %d is being counted: %s", self.number, unavailable)

        return tell

    def _make_tracker(self) -> Tracker:
        left = [self.opened]

        async def open_generation() -> OpenedGeneration:
            # A tracker asks again when the generation is missing, and would ask for ever: nobody makes it anew.
            if not left:
                raise Conflict(
                    f"generation {self.number} is gone, although it is still being counted: Redis was emptied, or the "
                    "generation was dropped; run it again, and it begins anew"
                )
            return left.pop()

        return Tracker(open_generation, self.catalog, self.dead_letters)

    async def _report_hole(self, position: Position, start: int, end: int) -> None:
        """As live counting does: goals that had started before are marked incomplete."""
        before = await received_at(self.log, position, end)
        # It may lie ahead of all that was read so far; where nobody knows when it came, it came by now.
        await self.catalog.reach(self.now() if before is None else before)
        if not self.catalog.current.had_projects(before):
            return
        log.error(
            "%d messages of %s/%d were deleted before they were counted again (offsets %d to %d); goals that may "
            "lack them are marked incomplete",
            end - start,
            position.topic,
            position.partition,
            start,
            end,
        )
        await self.store.report_loss(loss_of(position, start, end, at=self.now(), received_before=before))

    async def _fill_backfills(self, tracker: Tracker, spans: Spans) -> None:
        """Most were counted with all the rest; those that were defined meanwhile are behind."""

        async def first_offsets(positions: Sequence[Position]) -> dict[Position, int]:
            return {position: spans[position][0] for position in positions}

        async def all_positions() -> list[Position]:
            return list(spans)

        await Filler(tracker, self.log, first_offsets, all_positions, pause=False).fill()
