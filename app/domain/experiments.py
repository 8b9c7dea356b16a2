"""Experiments: how many a project may have, and what their counts say. Pure.

The interval of a rate is Wilson's score interval (Wilson 1927; Brown, Cai and DasGupta 2001 recommend it): right for
few subjects and for rates near 0, where the textbook's interval is not. The interval of a lift is Katz's logarithmic
one for a ratio of two rates (Katz, Baptista, Azen and Pike 1978). Both hold for 95 of 100 experiments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

MAX_EXPERIMENTS: Final = 500
"""Of one project in one generation. Beyond it new keys are not counted, or anybody could fill the counters' memory."""
MAX_VARIANTS: Final = 50
"""Of one experiment."""

_Z: Final = 1.959963984540054
"""95 % of a normal distribution lie within so many standard deviations."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Lift:
    """How much more a variant converts than the first one: 0.2 is a fifth more."""

    value: float
    interval: Interval | None
    """None while either of the two has no conversion: then the ratio's logarithm has no spread."""


def rate(converted: int, exposed: int) -> float | None:
    """The share that converted; None before anybody was exposed."""
    return converted / exposed if exposed else None


def wilson_interval(converted: int, exposed: int) -> Interval | None:
    """Where the true rate lies, given that `converted` of `exposed` did; None before anybody was exposed."""
    if not exposed:
        return None
    share, spread = converted / exposed, _Z * _Z / exposed
    middle = share + spread / 2
    half = _Z * math.sqrt(share * (1 - share) / exposed + spread / (4 * exposed))
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    # At the ends of the scale rounding may leave it by a hair.
    return 0.0 if converted == 0 else max(0.0, low), 1.0 if converted == exposed else min(1.0, high)


def lift(converted: int, exposed: int, first_converted: int, first_exposed: int) -> Lift | None:
    """Of a variant over the first one; None while the first one's rate is 0 or unknown, or nobody saw the variant."""
    if not exposed or not first_converted:
        return None
    ratio = (converted / exposed) / (first_converted / first_exposed)
    if not converted:
        return Lift(ratio - 1, None)
    half = _Z * math.sqrt(1 / converted - 1 / exposed + 1 / first_converted - 1 / first_exposed)
    return Lift(ratio - 1, (ratio * math.exp(-half) - 1, ratio * math.exp(half) - 1))
