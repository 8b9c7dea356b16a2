"""A stuck worker reads again and then ends; a slow, idle or waiting one is left alone."""

from __future__ import annotations

import pytest

from app.domain.watchdog import Advice, Watchdog

LAGGING = {"p": (5, 9)}


@pytest.fixture
def dog() -> Watchdog:
    made = Watchdog(10)
    made.look(0, LAGGING, is_waiting=False)
    return made


def test_a_checkpoint_that_stands_still_is_read_again_and_then_the_worker_ends(dog: Watchdog) -> None:
    advice = [dog.look(at, LAGGING, is_waiting=False) for at in (5, 10, 15, 20)]
    assert advice == [Advice.GO_ON, Advice.READ_AGAIN, Advice.GO_ON, Advice.END]


def test_a_worker_that_waits_for_a_store_is_left_alone(dog: Watchdog) -> None:
    assert {dog.look(at, LAGGING, is_waiting=True) for at in range(1, 100)} == {Advice.GO_ON}


def test_patience_begins_again_when_the_store_is_back(dog: Watchdog) -> None:
    dog.look(50, LAGGING, is_waiting=True)
    assert dog.look(59, LAGGING, is_waiting=False) is Advice.GO_ON
    assert dog.look(60, LAGGING, is_waiting=False) is Advice.READ_AGAIN


def test_slow_progress_is_progress(dog: Watchdog) -> None:
    advice = {dog.look(at, {"p": (5 + at, 1000)}, is_waiting=False) for at in range(9, 200, 9)}
    assert advice == {Advice.GO_ON}


def test_an_idle_partition_is_not_stuck(dog: Watchdog) -> None:
    assert {dog.look(at, {"p": (9, 9)}, is_waiting=False) for at in range(1, 100)} == {Advice.GO_ON}


def test_progress_after_reading_again_is_forgiven(dog: Watchdog) -> None:
    dog.look(10, LAGGING, is_waiting=False)
    dog.look(11, {"p": (6, 9)}, is_waiting=False)
    assert dog.look(21, {"p": (6, 9)}, is_waiting=False) is Advice.READ_AGAIN
