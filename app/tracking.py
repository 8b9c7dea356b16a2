"""The write path: a run of records of one partition -> counters, exactly once.

counts = f(events below the checkpoint), always: the checkpoint moves in the same atomic step as everything that a batch
changes, and only from the value that the batch was folded from. Whatever dies, the next one starts at the checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, ge
from typing import Final, TypeVar

from app.backfilling import Backfills, fold_backfills, is_worth_a_call, present
from app.domain.folding import Folder, Record
from app.domain.folding_rules import FoldingRules
from app.domain.increments import Accounting, Applied, Increments, Position
from app.errors import GenerationMissing, StoreUnavailable
from app.hooks import Hook, no_hook
from app.ports import CatalogKeeper, CounterStore, DeadLetters
from app.receipting import Outbox, ReceiptSender
from app.waiting import Waiting

log = logging.getLogger(__name__)

T = TypeVar("T")
SETTLE_SECONDS: Final = 1.0
_timestamp: Final[Callable[[Record], int]] = attrgetter("timestamp")


def _is_unavailable(error: BaseException) -> bool:
    return isinstance(error, StoreUnavailable)


def _is_silent(error: BaseException) -> bool:
    return _is_unavailable(error) and not isinstance(error, GenerationMissing)


@dataclass(frozen=True, slots=True)
class Batch:
    """All that the log holds of one partition from `start` to below `next_offset`.

    Offsets without a record (of control records, of compaction) are covered too, so that batches join without a gap.
    """

    position: Position
    start: int
    next_offset: int
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    checkpoint: int
    """Everything below is in the counters; where the position is not tracked, what lies below the batch may be."""
    seek_to: int | None = None
    """The reader must go on from here: the batch does not begin where the counters end."""
    recount: bool = False
    """The counters were emptied: every partition is read again from its checkpoint."""
    counted: int = 0
    duplicate: int = 0
    unmatched: int = 0
    rejected: Mapping[str, int] | None = None
    received: int = 0
    landmarks: Mapping[str, int] = field(default_factory=dict)
    """Project -> the offset of its first event in the batch."""


@dataclass(frozen=True, slots=True)
class OpenedGeneration:
    """An opened generation: its store and the rules it was created with."""

    store: CounterStore
    rules: FoldingRules
    outbox: Outbox | None = None
    """Where the store leaves receipts; None when nobody asks for any."""
    receipts_from: Mapping[Position, int] = field(default_factory=dict)
    """Conversions below these offsets have their receipts from another generation."""


class Tracker:
    """Tracks batches, of each position one at a time. Not thread-safe; one object a reader of the log.

    `open_generation` finds (or, after Redis was emptied, creates) the generation; it is called again whenever the store
    says that its generation is missing.
    """

    def __init__(
        self,
        open_generation: Callable[[], Awaitable[OpenedGeneration]],
        catalog: CatalogKeeper,
        dead_letters: DeadLetters,
        *,
        receipts: ReceiptSender | None = None,
        hook: Hook = no_hook,
        retry_wait_seconds: float = 0.5,
    ) -> None:
        self._open = open_generation
        self._catalog = catalog
        self._dead_letters = dead_letters
        self._receipts = receipts
        self._hook = hook
        self._waiting = Waiting(retry_wait_seconds)
        self._opened: OpenedGeneration | None = None
        self._folder: Folder | None = None
        self._checkpoints: dict[Position, list[int]] = {}
        self._watermarks: dict[Position, int] = {}
        self.surprises: Counter[Position] = Counter()
        """How often the store had another checkpoint than was known: others count, or it went back, or is another."""
        self.backfills = Backfills()
        # Whoever asks last decides: a slow answer for earlier positions must not replace those of a rebalance.
        self._assigning = asyncio.Lock()

    async def opened(self) -> OpenedGeneration:
        """The opened generation; waits until the store answers."""
        if self._opened is None:
            # Emptied once more while it was opened is no answer here: it is opened again.
            self._opened = await self._persist(self._open, _is_unavailable)
            self._folder = None
        return self._opened

    async def assign(self, positions: Sequence[Position]) -> Mapping[Position, int]:
        """Track these positions from now on; returns where each has to be read from. Waits until the store answers."""
        async with self._assigning:
            return await self._assign(positions)

    async def assign_again(self) -> Mapping[Position, int]:
        """Ask anew where the positions that are tracked have to be read from."""
        async with self._assigning:
            return await self._assign(list(self._checkpoints))

    async def _assign(self, positions: Sequence[Position]) -> Mapping[Position, int]:
        found = await self._find_checkpoints(positions)
        while found is None:
            self._opened = None
            found = await self._find_checkpoints(positions)
        before, self._checkpoints = self._checkpoints, dict(zip(positions, map(list, found), strict=True))
        self.surprises.update(at for at, own in self._checkpoints.items() if own != before.get(at, own))
        # Where the counters went back, or are others that are not as far, they are not complete up to there.
        self._watermarks = {
            position: at
            for position, at in self._watermarks.items()
            if position in before and position in self._checkpoints
            if all(map(ge, self._checkpoints[position], before[position]))
        }
        self.backfills.forget()
        return {position: min(own) for position, own in self._checkpoints.items()}

    async def _find_checkpoints(self, positions: Sequence[Position]) -> Sequence[Sequence[int]] | None:
        """None when the generation was emptied meanwhile."""
        store = (await self.opened()).store
        try:
            return await self._persist(lambda: store.checkpoints(positions))
        except GenerationMissing:
            return None

    async def has_gone_back(self) -> bool:
        """Whether the store has a lower checkpoint than it once confirmed: it lost writes, and the counters with them.

        A batch would notice; a log to which nothing is added has none. Raises StoreUnavailable, GenerationMissing.
        """
        if self._opened is None:
            return False
        confirmed = {position: tuple(own) for position, own in self._checkpoints.items()}
        stored = await self._opened.store.checkpoints(list(confirmed))
        return any(
            now < then
            for of_position, before in zip(stored, confirmed.values(), strict=True)
            for now, then in zip(of_position, before, strict=True)
        )

    @property
    def is_waiting(self) -> bool:
        """Whether a store that does not answer is being asked again."""
        return self._waiting.is_going_on

    def forget(self) -> None:
        """The generation was found missing: find or create one before the next batch."""
        self._opened = None

    def checkpoint(self, position: Position) -> int | None:
        """The next offset whose effects are not in the counters; None when the position is not assigned."""
        own = self._checkpoints.get(position)
        return min(own) if own is not None else None

    def reached(self, position: Position) -> Sequence[int]:
        """The checkpoint of each stripe."""
        return tuple(self._checkpoints.get(position, ()))

    async def settle(self, position: Position) -> int | None:
        """The checkpoint as it is stored, when no batch of the position is being counted; None when it is not tracked.
        Raises StoreUnavailable when one is being counted for SETTLE_SECONDS already, and GenerationMissing."""
        opened, lock = await self.opened(), self.backfills.lock(position)
        try:
            await asyncio.wait_for(lock.acquire(), SETTLE_SECONDS)
        except TimeoutError:
            raise StoreUnavailable("counting", f"of {position.name} has not ended yet") from None
        try:
            (stored,) = await self._persist(lambda: opened.store.checkpoints([position]))
        finally:
            lock.release()
        own = self._checkpoints.get(position)
        if own is not None and list(stored) != own:
            own[:] = stored
            self.backfills.forget(position)
            self._watermarks.pop(position, None)
        return min(own) if own is not None else None

    def watermark(self, position: Position) -> int:
        """The greatest broker timestamp that this object has counted of the position; 0 when none."""
        return self._watermarks.get(position, 0)

    async def track(self, batch: Batch, *, after: asyncio.Future[Outcome] | None = None) -> Outcome:
        """Count the batch. Returns when it is counted for good, or with `seek_to` when the reader has to go back.

        Waits as long as a store does not answer. May be repeated: what was counted is recognised by the checkpoint.
        Nothing is applied before `after`, the tracking of another batch, has ended.
        """
        position = batch.position
        while True:
            checkpoints = self._checkpoints.get(position)
            if checkpoints is None:
                return Outcome(checkpoint=batch.start, seek_to=None)
            lowest = min(checkpoints)
            if batch.start > lowest:
                return Outcome(checkpoint=lowest, seek_to=lowest)
            if batch.next_offset <= lowest:
                return Outcome(checkpoint=lowest)
            try:
                async with self.backfills.lock(position):
                    outcome = await self._count(batch, checkpoints, after)
            except GenerationMissing as missing:
                log.warning("the counters are gone (%s): counting again from the start of the log", missing)
                self._opened = None
                start = (await self.assign_again()).get(position)
                return Outcome(checkpoint=batch.start if start is None else start, seek_to=start, recount=True)
            if outcome is not None:
                return outcome

    async def skip(self, position: Position, to: int) -> bool:
        """Move the checkpoint over what the log does not hold; a stripe beyond that stays where it is. False when it
        was another than is known here: nothing is skipped, and it is known now; or the position was taken away."""
        checkpoints = self._checkpoints.get(position)
        return checkpoints is not None and await self._jump(position, checkpoints, [to] * len(checkpoints))

    async def go_back(self, position: Position, reached: Sequence[int], to: Sequence[int]) -> bool:
        """Move the checkpoints of the stripes that have `reached` beyond `to` back to there. False as of `skip`."""
        checkpoints = self._checkpoints.get(position)
        return checkpoints == list(reached) and await self._jump(position, checkpoints, to, is_cut=True)

    async def _jump(self, position: Position, checkpoints: list[int], to: Sequence[int], is_cut: bool = False) -> bool:
        opened, choose = await self.opened(), min if is_cut else max
        await self._meet_backfills(opened, position, min(checkpoints))
        jumps = [
            Increments(position, stripe, expected, choose(expected, own), self.watermark(position))
            for stripe, (expected, own) in enumerate(zip(checkpoints, to, strict=True))
        ]
        # Over a gap those that are behind go by themselves, when they are filled.
        moved = self.backfills.known(position) if is_cut else self.backfills.joined(position)
        for name, expected in present(self._catalog.current, moved).items():
            stripe = self._stripe_of(opened, name)
            jump = replace(jumps[stripe], expected=expected, next_offset=choose(expected, to[stripe]))
            jumps.append(replace(jump, backfill=name))
        await self._apply(opened.store, checkpoints, jumps)
        return checkpoints == [jump.next_offset for jump in jumps if not jump.backfill]

    async def had_projects(self, at: int) -> bool:
        """See Catalog.had_projects. Waits for a catalog that knows of that time (epoch ms)."""
        await self._persist(lambda: self._catalog.reach(at))
        return self._catalog.current.had_projects(at)

    def _stripe_of(self, opened: OpenedGeneration, backfill: str) -> int:
        return opened.rules.stripe_of(self._catalog.current.backfills[backfill].project)

    async def meet_backfills(self) -> None:
        """Know the present backfills at every position that is tracked, also where nothing arrives."""
        opened = await self.opened()
        for position in list(self._checkpoints):
            async with self.backfills.lock(position):
                checkpoints = self._checkpoints.get(position)
                if checkpoints is not None:
                    await self._meet_backfills(opened, position, min(checkpoints))

    async def fill(self, batch: Batch) -> None:
        """Count the batch into the backfills that are behind and whose checkpoint it holds, and nothing else.

        May be repeated, by any number of processes: each backfill's checkpoint says what was counted.
        """
        opened = await self.opened()
        position = batch.position
        newest = max((record.timestamp for record in batch.records), default=0)
        await self._persist(lambda: self._catalog.reach(newest))
        behind = present(self._catalog.current, self.backfills.behind().get(position, {}))
        due = {name: at for name, at in behind.items() if batch.start <= at < batch.next_offset}
        increments = fold_backfills(self._fold_with(opened), position, batch.records, batch.next_offset, due, newest)
        if not increments:
            return
        self._hook("fill")
        for part, applied in zip(increments, await self._persist(lambda: opened.store.apply(increments)), strict=True):
            self.backfills.advance(position, part.backfill, applied.checkpoint)

    async def note_backfill(self, name: str, state: Mapping[str, int]) -> Mapping[str, int]:
        """Remember how far a backfill is; returns all that is remembered. One that ended meanwhile has no state."""
        opened = await self.opened()
        if not present(self._catalog.current, {name: 0}):
            return {}
        stripe = self._stripe_of(opened, name)
        return await self._persist(lambda: opened.store.note_backfill(name, stripe, state))

    async def _apply(
        self, store: CounterStore, checkpoints: list[int], increments: Sequence[Increments]
    ) -> Sequence[Applied]:
        """The stripes' answers, after those of the backfills were heeded too."""
        answers = await self._persist(lambda: store.apply(increments))
        position = increments[0].position
        for part, answer in zip(increments, answers, strict=True):
            if part.backfill:
                self.backfills.adopt(position, part, answer)
            else:
                checkpoints[part.stripe] = answer.checkpoint
        if not all(answer.applied for answer in answers[: len(checkpoints)]):
            # The store may have lost writes: those of a backfill that had nothing to apply here too.
            self.backfills.forget(position)
            self._watermarks.pop(position, None)
            self.surprises[position] += 1
        return answers[: len(checkpoints)]

    async def _meet_backfills(self, opened: OpenedGeneration, position: Position, read_from: int) -> None:
        meet, catalog = self.backfills.meet, self._catalog.current
        await self._persist(lambda: meet(position, catalog, opened.store, opened.rules, read_from))

    async def _count(
        self, batch: Batch, checkpoints: list[int], after: asyncio.Future[Outcome] | None
    ) -> Outcome | None:
        """One attempt: None when the checkpoints turned out to be others, and the batch has to be folded again."""
        opened = await self.opened()
        newest = max(map(_timestamp, batch.records), default=0)
        await self._persist(lambda: self._catalog.reach(newest))
        watermark = max(newest, self.watermark(batch.position))
        self._hook("fold")
        await self._meet_backfills(opened, batch.position, min(checkpoints))
        joined = present(self._catalog.current, self.backfills.joined(batch.position))
        receipts_from = opened.receipts_from.get(batch.position, 0)
        increments, letters = self._fold_with(opened).fold(
            batch.position, batch.records, checkpoints, batch.next_offset, watermark, joined, receipts_from
        )
        increments = [part for part in increments if not part.backfill or is_worth_a_call(part)]
        if letters:
            self._hook("dead_letters")
            await self._persist(lambda: self._dead_letters.send(letters, batch.position))
        if after is not None:
            await asyncio.wait([after])
        self._hook("apply")
        applied = await self._apply(opened.store, checkpoints, increments)
        self._hook("applied")
        await self._send_receipts(opened, batch.position)
        if not all(answer.applied for answer in applied):
            return None
        self._watermarks[batch.position] = watermark
        return _outcome(min(checkpoints), increments[: len(applied)], [(a.counted, a.duplicate) for a in applied])

    async def _send_receipts(self, opened: OpenedGeneration, position: Position) -> None:
        """Also those of a call whose answer was lost: it was done, and is refused now."""
        sender, outbox = self._receipts, opened.outbox
        if sender is not None and outbox is not None:
            await self._persist(lambda: sender.send(outbox, position))

    def _fold_with(self, opened: OpenedGeneration) -> Folder:
        catalog = self._catalog.current
        if self._folder is None or self._folder.catalog is not catalog:
            self._folder = Folder(catalog, opened.rules, with_receipts=opened.outbox is not None)
        return self._folder

    async def _persist(
        self, call: Callable[[], Awaitable[T]], is_no_answer: Callable[[BaseException], bool] = _is_silent
    ) -> T:
        """Repeat the same call until the store answers. GenerationMissing is an answer, if nothing else is said."""
        return await self._waiting.until_answered(call, is_no_answer)


def _outcome(checkpoint: int, increments: Sequence[Increments], applied: Sequence[tuple[int, int]]) -> Outcome:
    whole = Accounting()
    whole.add_all([part.partition for part in increments])
    return Outcome(
        checkpoint=checkpoint,
        counted=sum(counted for counted, _ in applied),
        duplicate=whole.duplicate + sum(duplicate for _, duplicate in applied),
        unmatched=whole.unmatched,
        rejected=whole.rejected,
        received=whole.received,
        landmarks={project: offset for part in increments for project, offset in part.landmarks.items()},
    )
