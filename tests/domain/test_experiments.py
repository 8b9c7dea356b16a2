"""What the counts of an experiment say. The figures are SciPy's (`binomtest`, `contingency.relative_risk`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.experiments import lift, rate, wilson_interval


@pytest.mark.parametrize(
    ("converted", "exposed", "interval"),
    [
        (10, 100, (0.05522914, 0.17436566)),
        (0, 10, (0.0, 0.27753279)),
        (10, 10, (0.72246720, 1.0)),
        (1, 1, (0.20654931, 1.0)),
        (5_000, 1_000_000, (0.00486369, 0.00514012)),
    ],
)
def test_the_interval_of_a_rate_is_wilsons(converted: int, exposed: int, interval: tuple[float, float]) -> None:
    assert wilson_interval(converted, exposed) == pytest.approx(interval, abs=1e-7)


@pytest.mark.parametrize(
    ("variant", "first", "value", "interval"),
    [
        ((15, 100), (10, 100), 0.5, (-0.29188159, 2.17743468)),
        ((10, 100), (10, 100), 0.0, (-0.56462271, 1.29685842)),
        ((100, 100), (50, 100), 1.0, (0.64403039, 1.43304505)),
    ],
)
def test_the_interval_of_a_lift_is_katz(
    variant: tuple[int, int], first: tuple[int, int], value: float, interval: tuple[float, float]
) -> None:
    found = lift(*variant, *first)
    assert found is not None
    assert found.value == pytest.approx(value)
    assert found.interval == pytest.approx(interval, abs=1e-7)


def test_nothing_is_said_where_nothing_can_be_said() -> None:
    assert rate(0, 0) is None
    assert wilson_interval(0, 0) is None
    assert lift(1, 10, 0, 10) is None, "a lift over nothing"
    assert lift(0, 0, 1, 10) is None
    none = lift(0, 10, 1, 10)
    assert none is not None
    assert (none.value, none.interval) == (-1.0, None)


@given(st.integers(1, 10**7), st.data())
def test_an_interval_holds_the_rate_and_stays_within_0_and_1(exposed: int, data: st.DataObject) -> None:
    converted = data.draw(st.integers(0, exposed))
    interval, share = wilson_interval(converted, exposed), rate(converted, exposed)
    assert interval is not None
    assert share is not None
    assert 0 <= interval[0] <= share <= interval[1] <= 1
