"""Which topics freshness waits for, by what workers tell of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.worker_topics import listed_topics, other_topics


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([{"topics": ["a"]}, {"topics": ["b", "a"]}], {"a", "b"}),
        ([{"topics": ["a"]}, {}], None),
        ([], None),
    ],
    ids=["different settings", "one of a version that does not say", "nobody"],
)
def test_a_topic_is_listed_while_any_worker_may_be_set_to_read_it(
    workers: Sequence[Mapping[str, Any]], expected: set[str] | None
) -> None:
    assert listed_topics(workers) == expected


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([{"topics": ["a", "b"], "alive": True}], set()),
        ([{"topics": ["b"], "alive": True}, {"topics": ["c", "a"], "alive": True}], {"b", "a, c"}),
        ([{"topics": ["b"], "alive": False}], set()),
        ([{"alive": True}], set()),
    ],
    ids=["the same", "others", "one that is gone", "one of a version that does not say"],
)
def test_what_others_that_live_are_set_to_read_instead(
    workers: Sequence[Mapping[str, Any]], expected: set[str]
) -> None:
    assert other_topics(workers, ["b", "a"]) == expected
