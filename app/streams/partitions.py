"""Where each partition has to be read from, and what to do when the log does not hold that any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from faust.types import TP

from app.domain.increments import Position
from app.domain.loss import loss_of
from app.domain.witness import Witness
from app.errors import NotFound, StoreUnavailable
from app.streams.epochs import Epochs
from app.tracking import Tracker
from app.waiting import Waiting

log = logging.getLogger(__name__)


class TrackedPartitions:
    """Implements consumer.Partitions over a Tracker.

    `incarnation_of` tells a topic's id from the broker; a recreated topic has another, and is counted from its start
    under a position of its own. `report_loss` remembers a loss, or (False) takes back that there was one. `received_at`
    tells when the message at an offset was received, None where there is none. `cut_below` tells where a log was cut
    below what was counted, None where it was not; `told_witnesses` what was told of positions, by their names;
    `tell_witness` tells another, unless the one that is known is not the one that was told.
    """

    def __init__(
        self,
        tracker: Tracker,
        incarnation_of: Callable[[str], Awaitable[str]],
        report_loss: Callable[[Mapping[str, object], bool], Awaitable[None]],
        received_at: Callable[[Position, int], Awaitable[int | None]],
        cut_below: Callable[[Position, int, Witness], Awaitable[int | None]],
        told_witnesses: Callable[[], Awaitable[Mapping[str, Witness]]],
        tell_witness: Callable[[Position, Witness | None, Witness], Awaitable[bool]],
    ) -> None:
        self._tracker = tracker
        self._incarnation_of = incarnation_of
        self._report_loss = report_loss
        self._received_at = received_at
        self._cut_below = cut_below
        self._told_witnesses = told_witnesses
        self._tell_witness = tell_witness
        self._positions: dict[TP, Position] = {}
        self._witnesses: dict[Position, Witness] = {}
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
    def witnesses(self) -> Mapping[Position, Witness]:
        """Of the partitions that are assigned now, as far as there is one."""
        return {own: self._witnesses[own] for own in self._positions.values() if own in self._witnesses}

    async def _hear_witnesses(self, positions: Iterable[Position]) -> None:
        """As they were told last: with the checkpoints, which are to be known before, they may have gone back."""
        surprises = {position: self._tracker.surprises[position] for position in positions}
        told = await self._looking.until_answered(self._told_witnesses, _is_unknown)
        for position in surprises:
            witness = told.get(position.name)
            if witness is None:
                self._witnesses.pop(position, None)
            else:
                self._witnesses[position] = witness
        self._surprises |= surprises

    async def heed(self, tp: TP, position: int, epochs: Epochs) -> int | None:
        where = self._positions.get(tp)
        if where is None:
            return None
        if self._tracker.surprises[where] != self._surprises.get(where, 0):
            await self._hear_witnesses([where])
        witness = self._witnesses.get(where)
        if witness is None or witness.epoch < epochs.last.epoch:
            return await self._meet_leader(tp, where, position, epochs)
        self._witnesses[where] = max(witness, epochs.last)
        return None

    async def _meet_leader(self, tp: TP, where: Position, position: int, epochs: Epochs) -> int | None:
        """Let batches of a later epoch pass, once that is told; or where to go on.

        All below the checkpoint is of no later epoch than what was told, if the checkpoint is known first. While a
        batch of the log as it was is being counted, that is not known.
        """
        checkpoint = await self._tracker.settle(where)
        if checkpoint != position:
            return position if checkpoint is None else checkpoint
        await self._hear_witnesses([where])
        witness = self._witnesses.get(where)
        if witness is not None and witness.epoch < epochs.first:
            begin = await self._looking.until_answered(lambda: self._cut_below(where, position, witness), _is_unknown)
            if begin is not None:
                return await self.lost(tp, position, 0, begin)
        if witness is None or witness.epoch < epochs.last.epoch:
            is_told = await self._looking.until_answered(
                lambda: self._tell_witness(where, witness, epochs.last), _is_unknown
            )
            if not is_told:
                return position
            self._witnesses[where] = epochs.last
        return None

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
        now, before, is_anybodys = int(time.time() * 1000), None, True
        if position < earliest:
            number, to = earliest - position, earliest
            before = await self._received_at(where, earliest)
            # Where nobody knows when they came, they came by now.
            is_anybodys = await self._tracker.had_projects(now if before is None else before)
            what = f"{number} messages of {tp.topic}/{tp.partition} were deleted before they were counted"
        else:
            number, to = position - end, end
            what = f"{number} counted messages of {tp.topic}/{tp.partition} are not in the log any more"
        if not is_anybodys:
            log.info(
                "%s (offsets %d to %d); they came before the first project, nothing lacks them", what, position, to
            )
            return await self._pass(where, to, None)
        log.error("%s (offsets %d to %d); goals that may lack them are marked incomplete", what, position, to)
        loss = loss_of(where, min(position, to), max(position, to), at=now, received_before=before)
        return await self._pass(where, to, loss)

    async def _pass(self, where: Position, to: int, loss: Mapping[str, object] | None) -> int:
        """Go on at `to`, or where whoever passed it meanwhile has got to."""
        if loss is not None:
            # Told first: who dies in between tells it again, and nothing is lost in silence.
            await self._report_loss(loss, True)
        if await self._tracker.skip(where, to):
            return to
        if loss is not None:
            await self._report_loss(loss, False)
        present = self._tracker.checkpoint(where)
        return to if present is None else present


def _is_unknown(error: BaseException) -> bool:
    return isinstance(error, StoreUnavailable | NotFound)
