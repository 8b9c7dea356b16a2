"""The read path of experiments: what was seen of each, and how its variants compare, per conversion goal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain import fields
from app.domain.experiments import MAX_EXPERIMENTS, MAX_VARIANTS, lift, rate, wilson_interval
from app.domain.moments import rfc3339
from app.domain.progress import number
from app.errors import NotFound, StoreUnavailable
from app.ports import CounterReader, DefinitionStore, Reading, Wanted

LIMIT_REACHED = (
    f"A project has at most {MAX_EXPERIMENTS} experiments, and an experiment {MAX_VARIANTS} variants; what events name "
    "beyond that is not counted. Is something that is never twice the same sent as a key or a variant?"
)


@dataclass(frozen=True, slots=True)
class KnownExperiments:
    """The experiments that were seen, by key; `is_full`: some were beyond the limit."""

    items: Sequence[dict[str, Any]]
    is_full: bool


class Experiments:
    """Coroutines; raise StoreUnavailable, also while the counters are counted again: nothing is shown as 0 then."""

    def __init__(self, definitions: DefinitionStore, counters: CounterReader) -> None:
        self._definitions = definitions
        self._counters = counters

    async def list_all(self, project: str) -> KnownExperiments:
        """`{key, variants: [{variant, exposed, firstSeenAt}], exposed, crossed, firstSeenAt}` each, by key."""
        known = await self._known(project)
        variants = _variants(known)
        keys = sorted(name[2:] for name in known if name.startswith("k|"))
        idents = [fields.experiment_id(project, key) for key in keys]
        wanted = [
            Wanted(project, fields.experiment_owner(ident), [fields.CROSSED, *_seen_fields(variants.get(ident, ()))])
            for ident in idents
        ]
        reading = await self._read(wanted)
        items = [_summary(key, own) for key, own in zip(keys, reading.owners, strict=True)]
        return KnownExperiments(items, bool(known.get(fields.REFUSED)))

    async def compare(self, project: str, key: str) -> dict[str, Any]:
        """The summary, and for each conversion goal what the subjects of each variant did. Raises NotFound."""
        owner = fields.experiment_owner(fields.experiment_id(project, key))
        _, versions = await asyncio.to_thread(self._definitions.current, project, "conversion_goal")
        reading = await self._read([Wanted(project, owner, ("*",))])
        (own,) = reading.owners
        if not own:
            raise NotFound("experiment", key)
        summary = _summary(key, own)
        names = [one["variant"] for one in summary["variants"]]
        counted = {name.split("|", 2)[1] for name in own if name.startswith("n|")}
        present = {version.id: version.body for version in versions}
        goals = [_compared(ident, own, names) | _shown(body) for ident, body in present.items()]
        goals += [_compared(ident, own, names) | _shown({}) for ident in sorted(counted - set(present))]
        return {**summary, "freshAsOf": rfc3339(reading.fresh_as_of), "conversionGoals": goals}

    async def _known(self, project: str) -> Mapping[str, int]:
        (own,) = (await self._read([Wanted(project, fields.experiments_owner(project), ("*",))])).owners
        return own

    async def _read(self, wanted: Sequence[Wanted]) -> Reading:
        reading = await self._counters.read(wanted)
        if reading.rebuilding:
            raise StoreUnavailable("redis", "the log is being counted again")
        return reading


def _variants(known: Mapping[str, int]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in known:
        if name.startswith("v|"):
            _, ident, variant = name.split("|", 2)
            found.setdefault(ident, []).append(variant)
    return found


def _seen_fields(variants: Sequence[str]) -> list[str]:
    return [f"{letter}|{variant}" for variant in variants for letter in "et"]


def _summary(key: str, own: Mapping[str, int]) -> dict[str, Any]:
    seen = {name[2:]: at for name, at in own.items() if name.startswith("t|")}
    # The first one named is what the others are compared with; of two at one moment, the first by name.
    ordered = sorted(seen, key=lambda variant: (seen[variant], variant))
    variants = [
        {"variant": one, "exposed": own.get(f"e|{one}", 0), "firstSeenAt": rfc3339(seen[one])} for one in ordered
    ]
    return {
        "key": key,
        "variants": variants,
        "exposed": sum(own.get(f"e|{one}", 0) for one in ordered),
        "crossed": own.get(fields.CROSSED, 0),
        "firstSeenAt": rfc3339(min(seen.values(), default=None)),
    }


def _shown(body: Mapping[str, object]) -> dict[str, object]:
    """Null for a conversion goal that was deleted."""
    return {"name": body.get("name"), "metric": body.get("metric")}


def _compared(ident: str, own: Mapping[str, int], variants: Sequence[str]) -> dict[str, Any]:
    first = variants[0]
    rows = []
    for variant in variants:
        suffix = fields.variant_suffix(ident, variant)
        exposed, converted = own.get(f"e|{variant}", 0), own.get("s" + suffix, 0)
        against = None
        if variant != first:
            first_converted = own.get("s" + fields.variant_suffix(ident, first), 0)
            against = lift(converted, exposed, first_converted, own.get(f"e|{first}", 0))
        rows.append(
            {
                "variant": variant,
                "exposed": exposed,
                "converted": converted,
                "conversions": own.get("n" + suffix, 0),
                "value": number(fields.exact_value(own.get("v" + suffix, 0), own.get("u" + suffix, 0))),
                "rate": rate(converted, exposed),
                "interval": wilson_interval(converted, exposed),
                "lift": against.value if against is not None else None,
                "liftInterval": against.interval if against is not None else None,
            }
        )
    return {"id": ident, "variants": rows}
