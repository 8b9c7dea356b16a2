"""The properties of an event: decoding `data`, and reading one exact number out of it.

Sums are integers of 1e-6. A number becomes a binary float only where it is compared with a condition's operand, never
where it is added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException
from typing import Final, cast

import msgspec

from app.domain.fields import MICRO

MAX_VALUE: Final = 10**12
"""The greatest absolute value that is summed: beyond it an event still counts, but has no value."""
MAX_NUMBER_TEXT: Final = 64
"""The longest text that is read as a number."""

_EXACT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN)
_STEP: Final = Decimal("0.000001")

_decode: Final = msgspec.json.Decoder().decode
_decode_exactly: Final = msgspec.json.Decoder(float_hook=Decimal).decode


def decode_data(raw: bytes | msgspec.Raw) -> dict[str, object]:
    """The properties as plain values: integers of any size, other numbers as floats. The last of equal keys wins.

    `raw` is what `parse_message` accepted, so this raises nothing.
    """
    return cast("dict[str, object]", _decode(raw))


def exact_number(raw: bytes | msgspec.Raw, path: tuple[str, ...]) -> tuple[int, int] | None:
    """The number at `path`, as whole part and millionths: value = whole + millionths / 1e6, 0 <= millionths < 1e6.

    Numbers and decimal strings ("19.90") are read exactly and rounded half-even to 1e-6. None when there is nothing at
    the path, or no number, or one beyond 1e12 in either direction. Booleans are not numbers.
    """
    found = _at(_decode(raw), path)
    if type(found) is int:
        return (found, 0) if -MAX_VALUE <= found <= MAX_VALUE else None
    if type(found) is float:
        return split_decimal(cast("Decimal", _at(_decode_exactly(raw), path)))
    if type(found) is str:
        return _from_text(found)
    return None


def split_decimal(value: Decimal) -> tuple[int, int] | None:
    """Whole part and millionths, by the rules of `exact_number`."""
    if not value.is_finite() or value.copy_abs() > MAX_VALUE:
        return None
    micros = int(value.quantize(_STEP, context=_EXACT).scaleb(6, context=_EXACT))
    return micros // MICRO, micros % MICRO


def _at(value: object, path: tuple[str, ...]) -> object:
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _from_text(text: str) -> tuple[int, int] | None:
    # Decimal() also reads underscores, other scripts' digits, NaN and infinities: none of them is a number here.
    if len(text) > MAX_NUMBER_TEXT or not text.isascii() or "_" in text:
        return None
    try:
        return split_decimal(Decimal(text))
    except DecimalException:
        return None
