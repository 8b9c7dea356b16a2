"""Compares what the product holds with what the oracle says. An empty list is proof; each line is one difference."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tests.faults.oracle import MICRO, Answer, Figures

Hashes = Mapping[str, Mapping[str, int]]
"""Redis hash (without the generation's prefix) -> field -> number"""


def differences(held: Hashes, answer: Answer, definitions: Mapping[str, str]) -> list[str]:
    """`definitions`: id -> kind, of all that ever existed. The counters of every one are compared, every
    experiment, and the accounting of every project, partition and reason."""
    found: list[str] = []
    for ident, kind in definitions.items():
        owner, figures = ("g", answer.goals) if kind == "goal" else ("c", answer.conversion_goals)
        own = held.get(f"{owner}:{ident}", {})
        has = Figures(own.get("n", 0), own.get("v", 0) * MICRO + own.get("u", 0))
        wanted = figures.get(ident, Figures())
        if has != wanted:
            found.append(f"{kind} {ident}: {has}, but the log says {wanted}")
    for project, fates in answer.projects.items():
        own = held.get(f"p:{project}", {})
        received = own.get("received", 0) - _rejected(own)
        has_fates = {**{fate: own.get(fate, 0) for fate in fates}, "received": received}
        if has_fates != fates:
            found.append(f"project {project}: {has_fates}, but the log says {fates}")
        if not _adds_up(own):
            found.append(f"project {project}: the accounting does not add up: {dict(own)}")
    return [*found, *_experiment_differences(held, answer), *_partition_differences(held, answer)]


def _experiment_differences(held: Hashes, answer: Answer) -> list[str]:
    """Every field of every experiment, also of those that the log does not know."""
    wanted: dict[str, dict[str, int]] = {}
    for (project, key), tested in answer.experiments.items():
        ident = hashlib.blake2b(f"{len(project)}:{project}{key}".encode(), digest_size=16).hexdigest()
        fields = wanted[f"x:{ident}"] = {"crossed": tested.crossed}
        fields |= {f"e|{variant}": number for variant, number in tested.exposed.items()}
        fields |= {f"t|{variant}": at for variant, at in tested.first_at.items()}
        for (goal, variant), figures in tested.conversions.items():
            fields[f"n|{goal}|{variant}"] = figures.conversions
            fields[f"s|{goal}|{variant}"] = len(tested.converted[goal, variant])
            fields[f"micros|{goal}|{variant}"] = figures.micros
    found: list[str] = []
    for owner in sorted({*wanted, *(name for name in held if name.startswith("x:"))}):
        has, should = _with_micros(held.get(owner, {})), wanted.get(owner, {})
        found += [
            f"experiment {owner}, {name}: {has.get(name, 0)}, but the log says {should.get(name, 0)}"
            for name in sorted({*has, *should})
            if has.get(name, 0) != should.get(name, 0)
        ]
    return found


def _with_micros(own: Mapping[str, int]) -> dict[str, int]:
    """`v` and `u` as one number."""
    found: dict[str, int] = {}
    for name, number in own.items():
        letter, rest = name[:2], name[2:]
        place, factor = (f"micros|{rest}", MICRO if letter == "v|" else 1) if letter in ("v|", "u|") else (name, 1)
        found[place] = found.get(place, 0) + number * factor
    return found


def _partition_differences(held: Hashes, answer: Answer) -> list[str]:
    found: list[str] = []
    partitions: dict[str, dict[str, int]] = {}
    reasons: dict[str, int] = {}
    for name, number in held.get("acct", {}).items():
        position, _, fate = name.rpartition("|")
        partitions.setdefault(position, {})[fate] = number
    received: dict[int, int] = {}
    for position, own in partitions.items():
        if not _adds_up(own):
            found.append(f"{position}: the accounting does not add up: {own}")
        # One partition of several incarnations of a topic is one log here: the old one was read before it was deleted.
        number = int(position.split(":")[1])
        received[number] = received.get(number, 0) + own.get("received", 0)
        for fate, rejected in own.items():
            if fate.startswith("rejected:"):
                reasons[fate[9:]] = reasons.get(fate[9:], 0) + rejected
    for number in sorted({*received, *answer.received}):
        if received.get(number, 0) != answer.received.get(number, 0):
            wanted = answer.received.get(number, 0)
            found.append(f"partition {number}: {received.get(number, 0)} received, but the log holds {wanted}")
    if reasons != dict(answer.rejected):
        found.append(f"rejected {reasons}, but the log says {dict(answer.rejected)}")
    return found


def _adds_up(own: Mapping[str, Any]) -> bool:
    fates = own.get("counted", 0) + own.get("unmatched", 0) + own.get("duplicate", 0)
    return bool(own.get("received", 0) == fates + _rejected(own))


def _rejected(own: Mapping[str, int]) -> int:
    return sum(number for fate, number in own.items() if fate.startswith("rejected:"))
