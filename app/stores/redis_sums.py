"""Sums of values in Redis: beside `v` and `u` (see app/domain/fields.py) a field `w`, how many times CARRY was taken
out of `v`. values.lua writes it; whoever reads gets it back in `v`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

CARRY: Final = 10**15
"""CARRY of values.lua."""
_WHOLE, _CARRIED = "v", "w"
_has_sums: Final = re.compile(r"(?:f:[^:]*:)?[ghckx]:").match


def with_carried(names: Sequence[str]) -> Sequence[str]:
    """What has to be asked for to know these fields of an owner: of each sum also what was carried."""
    carried = [_CARRIED + name[1:] for name in names if name.startswith(_WHOLE)]
    return (*names, *carried) if carried else names


def without_carried(owner: str, stored: dict[str, int]) -> dict[str, int]:
    """The fields of an owner as they are read, of those that are stored: each sum's `v` is its whole part."""
    carried = [name for name in stored if name.startswith(_CARRIED)]
    if carried and _has_sums(owner):
        for name in carried:
            whole = _WHOLE + name[1:]
            stored[whole] = stored.get(whole, 0) + CARRY * stored.pop(name)
    return stored
