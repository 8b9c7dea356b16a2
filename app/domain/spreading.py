"""Which stripe a project belongs to: by what it brings where that is known, else by hash. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from heapq import heapify, heapreplace
from typing import Final

MOST: Final = 500
"""So many projects, the heaviest, are spread by what they bring. Hashes spread the others evenly enough, and what was
decided is read with each opening of the counters."""


def hashed(project: str, stripes: int) -> int:
    return zlib.crc32(project.encode(errors="surrogatepass")) % stripes


def spread(loads: Mapping[str, int], stripes: int) -> dict[str, int]:
    """Project -> its stripe, so that stripes carry as much as each other as far as whole projects allow; of projects
    beyond MOST nothing is said, they are hashed.

    `loads`: project -> what it brought so far, in any unit; 0 where that is not known, which is taken for the mean.
    The heaviest first, each to the stripe that carries least (R. L. Graham, "Bounds on Multiprocessing Timing
    Anomalies", 1969). Of equal stripes one that lies far from the last is taken, since neighbours share a shard.
    """
    if stripes == 1:
        return {}
    known = [load for load in loads.values() if load]
    mean = max(sum(known) // len(known), 1) if known else 1
    heaviest = sorted(((load or mean, project) for project, load in loads.items()), key=lambda one: (-one[0], one[1]))
    carried = dict.fromkeys(range(stripes), 0)
    for load, project in heaviest[MOST:]:
        carried[hashed(project, stripes)] += load
    least = [(load, _turn(stripe, stripes), stripe) for stripe, load in carried.items()]
    heapify(least)
    found = {}
    for load, project in heaviest[:MOST]:
        before, turn, stripe = least[0]
        heapreplace(least, (before + load, turn, stripe))
        found[project] = stripe
    return found


def _turn(stripe: int, stripes: int) -> int:
    """Its bits in reverse: after the first stripe comes the middle one, then those in the middle of the halves."""
    width = (stripes - 1).bit_length()
    return int(f"{stripe:0{width}b}"[::-1], 2)
