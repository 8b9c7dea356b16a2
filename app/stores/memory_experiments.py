"""Experiments in memory: what `experiments.lua` does, in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field

from app.domain import fields
from app.domain.experiments import MAX_EXPERIMENTS, MAX_VARIANTS
from app.domain.increments import Exposure, Part, Single, Whose


@dataclass(slots=True)
class _Sighting:
    at: int
    variant: str
    is_crossed: bool = False


@dataclass(slots=True)
class _Deeds:
    """What a subject did towards one conversion goal."""

    conversions: int = 0
    whole: int = 0
    micro: int = 0


@dataclass(slots=True)
class MemoryExperiments:
    """Of one stripe. Grows the counters that it is given."""

    counters: Mapping[str, MutableMapping[str, int]]
    is_added: Callable[[str, int], bool]
    """Whether a member is new in a seen set of the stripe; it is added."""
    sightings: dict[tuple[str, int], _Sighting] = field(default_factory=dict)
    """(experiment, subject)"""
    deeds: dict[tuple[str, int], dict[str, _Deeds]] = field(default_factory=dict)
    """(experiment, subject) -> conversion goal ->"""

    kept_to: dict[str, Mapping[str, int]] = field(default_factory=dict)
    """Project -> the only experiments and variants that are counted, named as in fields.py."""

    def keep_to(self, known: Mapping[str, int], project: str) -> None:
        self.kept_to[project] = known

    def expose(self, exposure: Exposure, at: int) -> None:
        ident = self._known(exposure.project, exposure.experiment, exposure.variant)
        if ident is None:
            return
        own, variant = self.counters[fields.experiment_owner(ident)], exposure.variant
        own[f"t|{variant}"] = min(own.get(f"t|{variant}", at), at)
        if exposure.subject is None:
            return
        place = (ident, exposure.subject)
        sighting = self.sightings.get(place)
        if sighting is None:
            self.sightings[place] = _Sighting(at, variant)
            own[f"e|{variant}"] += 1
            return
        if sighting.variant != variant and not sighting.is_crossed:
            sighting.is_crossed = True
            own[fields.CROSSED] += 1
        if (at, variant.encode()) < (sighting.at, sighting.variant.encode()):
            self._move(own, place, sighting.variant, variant)
            sighting.at, sighting.variant = at, variant

    def _move(self, own: MutableMapping[str, int], place: tuple[str, int], before: str, after: str) -> None:
        if before == after:
            return
        for variant, sign in ((before, -1), (after, 1)):
            own[f"e|{variant}"] += sign
            for goal, deeds in self.deeds.get(place, {}).items():
                suffix = fields.variant_suffix(goal, variant)
                own["n" + suffix] += sign * deeds.conversions
                own["s" + suffix] += sign * (deeds.conversions > 0)
                own["v" + suffix] += sign * deeds.whole
                own["u" + suffix] += sign * deeds.micro

    def count(self, single: Single, part: Part, value: tuple[int, int] | None, sign: int) -> None:
        """A conversion of the goal counts for each assignment, under the variant that the subject saw first."""
        goal = part.conversion_goal
        whole, micro = value or (0, 0)
        for experiment, named in single.assignments:
            ident = self._known(single.project, experiment, named)
            if ident is None or not self._is_due(single, part, ident):
                continue
            variant, became = named, 0
            if single.subject is not None:
                place = (ident, single.subject)
                sighting = self.sightings.get(place)
                variant = named if sighting is None else sighting.variant
                deeds = self.deeds.setdefault(place, {}).setdefault(goal, _Deeds())
                became = (deeds.conversions + sign > 0) - (deeds.conversions > 0)
                deeds.conversions += sign
                deeds.whole += sign * whole
                deeds.micro += sign * micro
            own, suffix = self.counters[fields.experiment_owner(ident)], fields.variant_suffix(goal, variant)
            for letter, number in (("n", sign), ("s", became), ("v", sign * whole), ("u", sign * micro)):
                own[letter + suffix] += number

    def _is_due(self, single: Single, part: Part, ident: str) -> bool:
        """Once per session or visitor, of those events that carry an assignment to the experiment."""
        if part.guard is None:
            return True
        seen_set, whose = part.guard
        who = single.session if whose is Whose.SESSION else single.subject
        return who is not None and self.is_added(f"{seen_set}:{ident}", who)

    def _known(self, project: str, experiment: str, variant: str) -> str | None:
        """The experiment's id; None where it or its variant is beyond the limit."""
        ident = fields.experiment_id(project, experiment)
        known = self.counters[fields.experiments_owner(project)]
        only = self.kept_to.get(project)
        for name, counter, most in (
            (f"k|{experiment}", "#", MAX_EXPERIMENTS),
            (f"v|{ident}|{variant}", f"#{ident}", MAX_VARIANTS),
        ):
            if known.get(name):
                continue
            if known[counter] >= most or (only is not None and not only.get(name)):
                known[fields.REFUSED] = 1
                return None
            known[name] = 1
            known[counter] += 1
        return ident
