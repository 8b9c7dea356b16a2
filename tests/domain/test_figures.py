"""Figures as people read them."""

from __future__ import annotations

import pytest

from app.domain.figures import exact, rounded


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (141448, "141,448"),
        (19.9, "19.90"),
        (2.0, "2"),
        (1234567.891, "1,234,567.891"),
        (0.000001, "0.000001"),
        (-0.25, "-0.25"),
        (0.1 + 0.2, "0.30"),
        (2_000_000_000.123456, "2,000,000,000.12"),
    ],
)
def test_what_was_counted_is_told_to_its_last_decimal(value: float, shown: str) -> None:
    assert exact(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(3, "3"), (100 / 3, "33.33"), (2.999, "3.00")])
def test_what_was_computed_is_told_with_two_decimals(value: float, shown: str) -> None:
    assert rounded(value) == shown
