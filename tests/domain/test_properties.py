"""Numbers are read from properties to the last millionth, or not at all."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.properties import MAX_VALUE, decode_data, exact_number, split_decimal


@pytest.mark.parametrize(
    ("written", "whole", "millionths"),
    [
        ("5", 5, 0),
        ("-5", -5, 0),
        ("0", 0, 0),
        ("-0.0", 0, 0),
        ("19.90", 19, 900_000),
        ("0.1", 0, 100_000),
        ("-0.25", -1, 750_000),
        ("-1.000001", -2, 999_999),
        ("1e3", 1000, 0),
        ("1.5E+2", 150, 0),
        ("0.0000005", 0, 0),  # half to even
        ("0.0000015", 0, 2),
        ("0.00000050000000000000000000000001", 0, 1),
        ("0.9999999", 1, 0),
        ("123456789012.123456", 123_456_789_012, 123_456),
        ("0." + "3" * 5000, 0, 333_333),
        ("1e-5000", 0, 0),
        ("1000000000000", 10**12, 0),
        ("-1000000000000.000000", -(10**12), 0),
        ('"19.90"', 19, 900_000),
        ('"-3"', -3, 0),
        ('"1e2"', 100, 0),
        ('" 7 "', 7, 0),
    ],
)
def test_a_number_or_a_decimal_string_is_read_exactly(written: str, whole: int, millionths: int) -> None:
    assert exact_number(b'{"a":{"b":%s}}' % written.encode(), ("a", "b")) == (whole, millionths)


@pytest.mark.parametrize(
    "written",
    [
        "1000000000001",
        "-1000000000001",
        "1000000000000.000001",
        "1e13",
        "1e300",
        "9" * 4000,
        "true",
        "null",
        "[]",
        "{}",
        '""',
        '"x"',
        '"NaN"',
        '"Infinity"',
        '"1_000"',
        '"1,5"',
        '"٣"',
        '"1e999999999999999999999"',
        '"%s"' % ("1" * 65),
    ],
)
def test_what_is_no_number_or_too_large_has_no_value(written: str) -> None:
    assert exact_number(b'{"a":%s}' % written.encode(), ("a",)) is None


@pytest.mark.parametrize("path", [("b",), ("a", "b"), ("a", "0"), ("c", "d")])
def test_nothing_at_the_path_is_no_value(path: tuple[str, ...]) -> None:
    assert exact_number(b'{"a":5,"c":[1]}', path) is None


def test_properties_are_decoded_with_whole_numbers_exact() -> None:
    decoded = decode_data(b'{"a":18446744073709551617,"b":0.1,"b":0.2}')
    assert decoded == {"a": 2**64 + 1, "b": 0.2}
    assert type(decoded["a"]) is int


@given(st.decimals(-MAX_VALUE, MAX_VALUE, allow_nan=False, allow_infinity=False))
def test_the_parts_make_the_rounded_value(value: Decimal) -> None:
    parts = split_decimal(value)
    assert parts is not None
    whole, millionths = parts
    assert 0 <= millionths < 10**6
    assert Decimal(whole) + Decimal(millionths) / 10**6 == value.quantize(Decimal("0.000001"), ROUND_HALF_EVEN)


@given(st.floats(-1e12, 1e12))
def test_a_float_in_json_is_read_as_it_was_written(value: float) -> None:
    text = json.dumps({"a": value}).encode()
    assert exact_number(text, ("a",)) == split_decimal(Decimal(repr(value)))
