"""Corrections: what taking a counted event back, or restating it, changes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import msgspec

from app.domain.effects import NO_EFFECT, Effect
from app.domain.event import Event
from app.domain.increments import Change
from app.domain.receipts import Place, with_receipts
from app.domain.type_index import Feed, TypeIndex

EffectOf: TypeAlias = Callable[[Sequence[Feed], Event], Effect]


@dataclass(frozen=True, slots=True)
class Correction:
    """A counted event is taken back, and with `restated` counted again with its new properties.

    What counted once per session or visitor, and unique subjects, stay: the subject was there.
    """

    corrects: str
    taken_back: Effect
    restated: tuple[Effect, Event] | None

    @classmethod
    def of(cls, event: Event, corrects: str, types: TypeIndex, effect_of: EffectOf) -> Self:
        before = effect_of(types.matching(event), event)
        if event.restated is None:
            return cls(corrects, before, None)
        restated = msgspec.structs.replace(event, data=event.restated, decoded=None)
        return cls(corrects, before, (effect_of(types.matching(restated), restated), restated))

    @property
    def has_parts(self) -> bool:
        return bool(self.taken_back.parts) or (self.restated is not None and bool(self.restated[0].parts))

    @property
    def backfills(self) -> Mapping[str, Correction]:
        """By name, what the correction is to each backfill."""
        before = dict(self.taken_back.backfills)
        after = dict(self.restated[0].backfills) if self.restated is not None else {}
        return {
            name: Correction(
                self.corrects,
                before.get(name, NO_EFFECT),
                (after.get(name, NO_EFFECT), self.restated[1]) if self.restated is not None else None,
            )
            for name in (*before, *after)
        }

    def changes(self, event: Event, place: Place | None) -> tuple[Change, ...]:
        taken_back = with_receipts(event, self.taken_back.reversal(event), place)
        if self.restated is None:
            return (taken_back,)
        effect, restated = self.restated
        return taken_back, with_receipts(restated, effect.change(restated), place)
