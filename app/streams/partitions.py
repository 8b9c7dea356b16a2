"""Where each partition has to be read from, and what to do when the log does not hold that any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from faust.types import TP

from app.domain.increments import Position
from app.domain.loss import loss_of
from app.domain.witness import Witness
from app.errors import NotFound, StoreUnavailable
from app.streams.leader_epochs import LeaderEpochs
from app.tracking import Tracker
from app.waiting import Waiting

log = logging.getLogger(__name__)


class TrackedPartitions:
    """Implements consumer.Partitions over a Tracker.

    `incarnation_of` tells a topic's id from the broker; a recreated topic has another, and is counted from its start
    under a position of its own. `report_loss` remembers a loss, or (False) takes back that there was one. `received_at`
    tells when the message at an offset was received, None where there is none. `find_cut` tells where a log was cut of
    which so much was counted, see domain/witness.py; `told_witnesses` what was told to each stripe of positions, by
    their names; `tell_witness` tells a stripe another, unless the one that is known is not the one that was told.
    """

    def __init__(
        self,
        tracker: Tracker,
        incarnation_of: Callable[[str], Awaitable[str]],
        report_loss: Callable[[Mapping[str, object], bool], Awaitable[None]],
        received_at: Callable[[Position, int], Awaitable[int | None]],
        find_cut: Callable[[Position, int, Witness], Awaitable[int | None]],
        told_witnesses: Callable[[Sequence[Position]], Awaitable[Sequence[Mapping[str, Witness]]]],
        tell_witness: Callable[[Position, int, Witness | None, Witness], Awaitable[bool]],
    ) -> None:
        self._tracker = tracker
        self._incarnation_of = incarnation_of
        self._report_loss = report_loss
        self._received_at = received_at
        self._find_cut = find_cut
        self._told_witnesses = told_witnesses
        self._tell_witness = tell_witness
        self._positions: dict[TP, Position] = {}
        self._witnesses: dict[Position, list[Witness | None]] = {}
        """What each stripe was told."""
        self._seen: dict[Position, int] = {}
        """Up to which doubt about the brokers the log was seen to be that of the witnesses."""
        self._surprises: dict[Position, int] = {}
        # One after the other: a slow answer for earlier partitions must not replace those of a rebalance.
        self._starting = asyncio.Lock()
        self._waiting = Waiting(1.0, for_what="to learn which topic it is")
        self._looking = Waiting(1.0, for_what="to see whether the log was cut")

    @property
    def is_waiting(self) -> bool:
        """Whether what does not tell a topic's incarnation, or whether a log was cut, is being asked again."""
        return self._waiting.is_going_on or self._looking.is_going_on

    def position(self, tp: TP) -> Position | None:
        return self._positions.get(tp)

    @property
    def positions(self) -> Mapping[TP, Position]:
        """The partitions that are assigned now."""
        return self._positions

    async def starts(self, tps: Iterable[TP]) -> Mapping[TP, int]:
        async with self._starting:
            return await self._starts(list(tps))

    async def starts_again(self) -> Mapping[TP, int]:
        """Where the partitions that are assigned now have to be read from."""
        async with self._starting:
            return await self._starts(list(self._positions))

    async def _starts(self, tps: list[TP]) -> Mapping[TP, int]:
        incarnations = {topic: await self._incarnation(topic) for topic in {tp.topic for tp in tps}}
        self._positions = {tp: Position(tp.topic, tp.partition, incarnations[tp.topic]) for tp in tps}
        starts = await self._tracker.assign(list(self._positions.values()))
        await self._hear_witnesses(list(self._positions.values()))
        return {tp: starts[position] for tp, position in self._positions.items()}

    async def _incarnation(self, topic: str) -> str:
        return await self._waiting.until_answered(lambda: self._incarnation_of(topic), _is_unknown)

    @property
    def witnesses(self) -> Mapping[Position, Sequence[Witness]]:
        """Those of each stripe, of the partitions that are assigned now and of which all stripes have one."""
        known = {own: self._witnesses.get(own, ()) for own in self._positions.values()}
        found = {at: [each for each in own if each is not None] for at, own in known.items()}
        return {at: own for at, own in found.items() if own and len(own) == len(known[at])}

    async def _hear_witnesses(self, positions: Iterable[Position]) -> None:
        """As they were told last: with the checkpoints, which are to be known before, they may have gone back."""
        surprises = {position: self._tracker.surprises[position] for position in positions}
        told = await self._looking.until_answered(partial(self._told_witnesses, list(surprises)), _is_unknown)
        for position in surprises:
            self._witnesses[position] = [of_stripe.get(position.name) for of_stripe in told]
            self._seen.pop(position, None)
        self._surprises |= surprises

    async def heed(self, tp: TP, position: int, epochs: LeaderEpochs) -> int | None:
        where = self._positions.get(tp)
        if where is None:
            return None
        if self._tracker.surprises[where] != self._surprises.get(where, 0):
            await self._hear_witnesses([where])
        known = self._witnesses.get(where, [None])
        if self._seen.get(where) != epochs.doubts or any(_is_earlier(each, epochs.last) for each in known):
            return await self._meet_leader(tp, where, position, epochs)
        # Of the same lines: a stripe is told of another one before it counts anything of it.
        self._witnesses[where] = [each and max(each, epochs.last._replace(line=each.line)) for each in known]
        return None

    async def _meet_leader(self, tp: TP, where: Position, position: int, epochs: LeaderEpochs) -> int | None:
        """Let batches of a later epoch, or of brokers that were lost sight of, pass, once it is seen that the log is
        the one that was counted, and that is told; or where to go on.

        All below a stripe's checkpoint is of no later epoch than what it was told, if the checkpoint is known first.
        While a batch of the log as it was is being counted, that is not known. Each stripe was told on its own: a shard
        of a cluster goes back without the others.
        """
        checkpoint = await self._tracker.settle(where)
        if checkpoint != position:
            return position if checkpoint is None else checkpoint
        reached = self._tracker.reached(where)
        await self._hear_witnesses([where])
        known = self._witnesses[where]
        if len(known) != len(reached):
            # Another generation is shown by now.
            return position
        cuts = await self._cuts(where, reached, known)
        if any(cut is not None and cut < counted for cut, counted in zip(cuts, reached, strict=True)):
            return await self._count_from(tp, where, reached, cuts)
        for stripe, (witness, cut, counted) in enumerate(zip(known, cuts, reached, strict=True)):
            # A stripe that is ahead counts nothing of this yet.
            is_another = cut is not None and counted == position
            if is_another or _is_earlier(witness, epochs.last):
                now = epochs.last._replace(line=0 if witness is None else witness.line + is_another)
                if not await self._tell(where, stripe, witness, now):
                    return position
                known[stripe] = now
        self._seen[where] = epochs.doubts
        return None

    async def _cuts(self, where: Position, reached: Sequence[int], known: Sequence[Witness | None]) -> list[int | None]:
        """Of each stripe where the log was cut, see `find_cut`. Most have the same witness."""
        found: dict[tuple[int, Witness], int | None] = {}
        for counted, witness in zip(reached, known, strict=True):
            if witness is not None and (counted, witness) not in found:
                look = partial(self._find_cut, where, counted, witness)
                found[counted, witness] = await self._looking.until_answered(look, _is_unknown)
        return [
            None if witness is None else found[counted, witness]
            for counted, witness in zip(reached, known, strict=True)
        ]

    async def _tell(self, where: Position, stripe: int, known: Witness | None, witness: Witness) -> bool:
        tell = partial(self._tell_witness, where, stripe, known, witness)
        return await self._looking.until_answered(tell, _is_unknown)

    async def _count_from(self, tp: TP, where: Position, reached: Sequence[int], cuts: Sequence[int | None]) -> int:
        """Each stripe goes on at its cut, if it had counted beyond that. Returns where to read on."""
        if restarts := await self.restarts([tp.topic]):
            return restarts.get(tp, min(reached))
        ends = [own if cut is None else min(own, cut) for own, cut in zip(reached, cuts, strict=True)]
        first = min(ends)
        beyond = max(own for own, end in zip(reached, ends, strict=True) if end < own)
        loss = _of_what_was_counted(where, first, beyond)
        return await self._pass(where, first, loss, partial(self._tracker.go_back, where, reached, ends))

    def applied(self, tp: TP) -> int | None:
        position = self._positions.get(tp)
        return self._tracker.checkpoint(position) if position is not None else None

    async def was_recreated(self, topic: str) -> bool:
        """Whether the topic is another one than when its partitions were assigned."""
        known = {position.incarnation for tp, position in self._positions.items() if tp.topic == topic}
        return bool(known) and await self._incarnation(topic) not in known

    async def restarts(self, topics: Iterable[str]) -> Mapping[TP, int]:
        recreated = [topic for topic in topics if await self.was_recreated(topic)]
        if not recreated:
            return {}
        log.error("%s: deleted and created again, counting the new topic from its start", ", ".join(recreated))
        return await self.starts_again()

    async def lost(self, tp: TP, position: int, earliest: int, end: int) -> int:
        if restarts := await self.restarts([tp.topic]):
            return restarts.get(tp, position)
        where = self._positions.get(tp)
        if where is None:
            return position
        # As it is now: who was frozen for a while takes for lost what others counted, or passed and told.
        await self._tracker.assign_again()
        checkpoint = self._tracker.checkpoint(where)
        if checkpoint is None:
            return position
        if checkpoint != position:
            # What was read ahead, or was meant for a topic that is gone, says nothing of what the counters miss.
            return checkpoint
        if position > end:
            reached = self._tracker.reached(where)
            back = partial(self._tracker.go_back, where, reached, [end] * len(reached))
            return await self._pass(where, end, _of_what_was_counted(where, end, position), back)
        skip = partial(self._tracker.skip, where, earliest)
        now, before = int(time.time() * 1000), await self._received_at(where, earliest)
        what = f"{earliest - position} messages of {tp.topic}/{tp.partition} were deleted before they were counted"
        # Where nobody knows when they came, they came by now.
        if not await self._tracker.had_projects(now if before is None else before):
            log.info("%s (%s); they came before the first project, nothing lacks them", what, _span(position, earliest))
            return await self._pass(where, earliest, None, skip)
        log.error("%s (%s); goals that may lack them are marked incomplete", what, _span(position, earliest))
        loss = loss_of(where, position, earliest, at=now, received_before=before)
        return await self._pass(where, earliest, loss, skip)

    async def _pass(
        self, where: Position, to: int, loss: Mapping[str, object] | None, move: Callable[[], Awaitable[bool]]
    ) -> int:
        """Go on at `to`, or where whoever passed it meanwhile has got to."""
        if loss is not None:
            # Told first: who dies in between tells it again, and nothing is lost in silence.
            await self._report_loss(loss, True)
        if await move():
            if loss is not None:
                # Again: who told the same meanwhile, and came too late to pass it, takes that back, and with it ours.
                await self._report_loss(loss, True)
            return to
        if loss is not None:
            await self._report_loss(loss, False)
        present = self._tracker.checkpoint(where)
        return to if present is None else present


def _of_what_was_counted(where: Position, start: int, to: int) -> Mapping[str, object]:
    """The loss, which is logged."""
    log.error(
        "%d counted messages of %s/%d are not in the log any more (%s); goals that may lack them are marked incomplete",
        to - start,
        where.topic,
        where.partition,
        _span(start, to),
    )
    return loss_of(where, start, to, at=int(time.time() * 1000), received_before=None)


def _span(start: int, to: int) -> str:
    return f"offsets {start} to {to}"


def _is_unknown(error: BaseException) -> bool:
    return isinstance(error, StoreUnavailable | NotFound)


def _is_earlier(known: Witness | None, other: Witness) -> bool:
    return known is None or known.epoch < other.epoch
