"""Gathering: what a batch brings to one counting, of everything in a stripe or of a backfill. Pure.

A store applies `Increments.simple` first, many events at once, and then `Increments.singles`, one by one. So that this
gives what the order of the log gives, only an event whose id nothing in the batch has named before is one of many.
"""

from __future__ import annotations

from typing import Final

from app.domain.correcting import Correction
from app.domain.effects import Effect
from app.domain.event import Event
from app.domain.folding_rules import FoldingRules
from app.domain.increments import Change, Increments, Simple, Single
from app.domain.receipts import Place, with_receipts

_ASKED_FOR: Final = -1
"""In place of an epoch: no event had the id, a correction asks for it."""


class Gathering:
    """One counting's part of a batch."""

    def __init__(self, increments: Increments, rules: FoldingRules) -> None:
        self.increments = increments
        self._rules = rules
        self._epochs: dict[str, int] = {}
        """Identity (an id, with its project before it) -> the epoch in which it came last."""
        self.kinds: dict[object, Simple] = {}
        """By whatever stands for an effect and an epoch, as long as it is kept."""
        self._identities: list[str] = []
        """Of the events that are many of a kind, in order; hashed when the batch is closed, all at once."""
        self._joined: list[Simple] = []
        """What each of them is one of."""

    def begin(self, kind: object, effect: Effect, project: str, epoch: int) -> Simple:
        """The first event of this kind came. The effect is simple."""
        simple = self.kinds[kind] = Simple(project, epoch, effect.counters, last=effect.last)
        return simple

    def join(self, simple: Simple, event: Event) -> bool:
        """Count the event as one of many. False, and nothing done, where its id was named before in this batch."""
        if event.id is None:
            simple.without_id += 1
            simple.newest_without_id = max(simple.newest_without_id, event.occurred_at)
            return True
        identity = f"{event.project}\0{event.id}"
        if identity in self._epochs:
            return False
        self._epochs[identity] = simple.epoch
        self._identities.append(identity)
        self._joined.append(simple)
        simple.moments.append(event.occurred_at)
        return True

    def add(self, kind: object, effect: Effect, event: Event, place: Place | None = None) -> bool:
        """Count the event. False where it cannot count: its id came in the same epoch before, and then, or even before
        the batch, it was counted. Of any other event the store decides that."""
        epoch = event.received_at // self._rules.window_ms
        is_tested = event.experiments is not None and not self.increments.backfill
        is_one_of_many = (
            effect.is_simple
            and place is None
            and not is_tested
            and self.join(self.kinds.get(kind) or self.begin(kind, effect, event.project, epoch), event)
        )
        if not is_one_of_many:
            hashed = None
            if event.id is not None:
                identity = f"{event.project}\0{event.id}"
                if self._epochs.get(identity) == epoch:
                    return False
                self._epochs[identity] = epoch
                hashed = self._rules.hash(identity)
            change = with_receipts(event, effect.change(event), place)
            self.increments.singles.append(self._single(event, hashed, (change,), occurred_at=event.occurred_at))
        return True

    def take_back(self, event: Event, correction: Correction, place: Place | None) -> None:
        """Correct what was counted, once, where the original was counted."""
        hash64, identity = self._rules.hash, f"{event.project}\0{correction.corrects}"
        self._epochs.setdefault(identity, _ASKED_FOR)
        kind = ("restate", event.id or bytes(event.restated).decode()) if event.restated is not None else ("retract",)
        # No id of an event is hashed like this: each has its project before it.
        once = hash64("\0correction", identity, *kind)
        changes = correction.changes(event, place)
        self.increments.singles.append(self._single(event, once, changes, requires=hash64(identity)))

    def close(self) -> None:
        """Hash the identities. Call it once, at the end."""
        for simple, hashed in zip(self._joined, self._rules.hash_all(self._identities), strict=True):
            simple.hashes.append(hashed)
        self.increments.simple += [one for one in self.kinds.values() if one.hashes or one.without_id]

    def _single(
        self,
        event: Event,
        hashed: int | None,
        changes: tuple[Change, ...],
        *,
        requires: int | None = None,
        occurred_at: int | None = None,
    ) -> Single:
        hash64, project = self._rules.hash, event.project
        session = hash64(project, "\0session", event.session_id) if event.session_id else None
        subject = hash64(project, "\0subject", event.subject) if event.subject else None
        assignments = tuple(event.experiments.items()) if event.experiments and not self.increments.backfill else ()
        epoch = event.received_at // self._rules.window_ms
        return Single(project, epoch, hashed, session, subject, changes, requires, assignments, occurred_at)
