"""What a packer remembers of a plan never gets into another one's arguments."""

from __future__ import annotations

import msgpack
import pytest

from app.domain.increments import Counter
from app.stores import redis_packing
from app.stores.redis_packing import Packer
from tests.stores.counting import increments, simple

GOAL: tuple[Counter, ...] = (("g:a", "n"), ("h:a", "n.1"))


def moves(packer: Packer, counters: tuple[Counter, ...], last: tuple[str, ...] = ()) -> object:
    _, packed = packer.pack(increments(simple(1, counters=counters, last=last)))
    return msgpack.unpackb(packed)


def test_the_counters_of_a_plan_are_packed_once() -> None:
    packer = Packer()
    first, again = (packer.pack(increments(simple(number, counters=GOAL)))[1] for number in (1, 2))
    assert first == again
    assert msgpack.unpackb(first) == [[["g:a", "n", "h:a", "n.1"], []]]


def test_the_same_counters_with_other_owners_of_a_newest_moment_are_packed_anew() -> None:
    packer = Packer()
    assert moves(packer, GOAL, ("g:a",)) == [[["g:a", "n", "h:a", "n.1"], ["g:a"]]]
    assert moves(packer, GOAL, ("g:b",)) == [[["g:a", "n", "h:a", "n.1"], ["g:b"]]]
    assert moves(packer, (), ("g:a",)) == [[[], ["g:a"]]]
    assert moves(packer, (), ("g:b",)) == [[[], ["g:b"]]]


def test_counters_that_are_gone_are_not_taken_for_those_that_lie_there_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object's identity is given again once nobody holds it."""
    packer = Packer()
    for bound in (10_000, 3):
        monkeypatch.setattr(redis_packing, "MOST_MOVES", bound)
        for number in range(2_000):
            assert moves(packer, ((f"g:{number}", "n"),)) == [[[f"g:{number}", "n"], []]]
