"""Conditions that no event can fulfil, told when they are saved. Pure.

Of each property the values are tried at which the answer of its requirements could change; where none of them fulfils
all, no value does. Requirements below `$or`, `$nor` and `$not` are not looked at.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from typing import Final

from app.domain.condition import EQUALITY, Condition, Requirement
from app.domain.wording import describe_clause

_RANGES: Final = frozenset({"$gt", "$gte", "$lt", "$lte"})
_DIGITS: Final = 100
_EXACT: Final = Context(prec=4 * _DIGITS)


def contradictions(condition: Condition) -> list[str]:
    """For each property that cannot be as is asked, what is asked: `amount is more than 5 and less than 3`."""
    by_path: defaultdict[str, list[Requirement]] = defaultdict(list)
    for requirement in condition.requirements():
        by_path[requirement.path].append(requirement)
    return [_told(path, together) for path, together in by_path.items() if _is_impossible(together)]


def _is_impossible(together: Sequence[Requirement]) -> bool:
    values = [value for one in together for value in _values(one)]
    if values:
        # An equality or a list of values: nothing else can fulfil it, but a list that holds them all.
        return not any(_fulfils(value, together) for value in [*values, values])
    ranges = [one for one in together if one.operator in _RANGES]
    if not ranges or any(_is_vast(one.wanted) for one in ranges):
        return False
    return not any(_fulfils(value, ranges) for value in _around([one.wanted for one in ranges]))


def _values(requirement: Requirement) -> Iterator[object]:
    if requirement.operator in EQUALITY and requirement.wanted != {}:  # {} asks nothing
        yield requirement.wanted
    elif requirement.operator == "$in" and isinstance(requirement.wanted, list):
        yield from requirement.wanted or [None]


def _around(bounds: Sequence[object]) -> Iterator[object]:
    """The bounds, and a value between and beyond each two: the next text, or the number in the middle."""
    yield from bounds
    numbers = sorted({Decimal(str(bound)) for bound in bounds if _is_number(bound)})
    for low, high in itertools.pairwise(numbers):
        yield _EXACT.divide(_EXACT.add(low, high), Decimal(2))
    for bound in bounds:
        if isinstance(bound, str):
            yield bound + "\0"
    if numbers:
        yield from (_EXACT.subtract(numbers[0], Decimal(1)), _EXACT.add(numbers[-1], Decimal(1)))
    elif bounds:
        yield ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_vast(value: object) -> bool:
    """A number that is not worth the digits of an exact middle."""
    if not _is_number(value):
        return False
    _, digits, exponent = Decimal(str(value)).as_tuple()
    return len(digits) > _DIGITS or abs(int(exponent)) > _DIGITS


def _fulfils(value: object, together: Sequence[Requirement]) -> bool:
    data = value
    for part in reversed(together[0].path.split(".")):
        data = {part: data}
    return all(requirement.holds(data) for requirement in together)


def _told(path: str, together: Sequence[Requirement]) -> str:
    first, *others = (describe_clause(path, one.operator, one.wanted) for one in together)
    return " and ".join([first, *(other.removeprefix(f"{path} is ") for other in others)])
