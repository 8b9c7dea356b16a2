"""The index over definitions answers as each definition does on its own, whatever the events and definitions."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.conversion_goal import ConversionGoal, compile_conversion_goal
from app.domain.event import Event
from app.domain.matching import matches
from app.domain.type_index import Feed, TypeIndex

PATHS = [
    "/",
    "/blog",
    "/blog/",
    "/blog/a",
    "/blog/a/b",
    "/shop/1",
    "/Blog",
    "/blog/%61",
    "/a/../blog",
    "/blog/x y",
    "/é",
]
PATTERNS = [None, *PATHS[:7], "/blog/*", "/shop/*", "/:kind/:id", "https://a.example/blog/*", "/*", "/blog*"]
CONDITIONS: list[dict[str, Any] | None] = [
    None,
    *({"plan": plan} for plan in ("pro", "free", "team", "7", None)),
    {"plan": "pro", "seats": {"$gte": 5}},
    {"seats": 5},
    {"plan": {"$in": ["pro", "free"]}},
    {"$or": [{"plan": "pro"}, {"seats": 1}]},
    {"plan": {"$ne": "pro"}},
]
ORIGINS = ["https://a.example", "http://b.example:8080", "", "https://A.example", "ftp://a.example", "https://[::1"]


def definition(number: int, pattern: str | None, condition: dict[str, Any] | None, counting: str) -> ConversionGoal:
    body = {
        "name": f"d{number}",
        "eventType": "t",
        "urlPattern": pattern,
        "conditions": condition,
        "counting": counting,
    }
    return compile_conversion_goal(
        {name: value for name, value in body.items() if value is not None}, ident=f"d{number}"
    )


definitions = st.lists(
    st.tuples(
        st.sampled_from(PATTERNS),
        st.sampled_from(CONDITIONS),
        st.sampled_from(["every_event", "every_event", "once_per_session", "once_per_visitor"]),
    ),
    max_size=25,
)
values = st.sampled_from(["pro", "free", "7", 7, 5, 1, True, None, 0.5, [5], {"a": 1}])
events = st.builds(
    lambda origin, path, tail, data, session, visitor: Event(
        type="t",
        project="p",
        id=None,
        occurred_at=0,
        received_at=0,
        url=None if path is None else (origin + path + tail) or None,
        session_id=session,
        visitor_id=visitor,
        data=json.dumps(data).encode(),
    ),
    st.sampled_from(ORIGINS),
    st.sampled_from([None, "", *PATHS]),
    st.sampled_from(["", "?q=1", "#top", "?q=/blog#x", " "]),
    st.dictionaries(st.sampled_from(["plan", "seats", "other"]), values, max_size=3),
    st.sampled_from([None, "s"]),
    st.sampled_from([None, "v"]),
)


@settings(max_examples=400)
@given(definitions, st.lists(events, min_size=1, max_size=6))
def test_the_index_finds_what_each_definition_matches(
    drawn: list[tuple[str | None, dict[str, Any] | None, str]], some: list[Event]
) -> None:
    compiled = [definition(number, *one) for number, one in enumerate(drawn)]
    index = TypeIndex([Feed(one, (), ()) for one in compiled])
    for event in some:
        found = sorted(feed.definition.id for feed in index.matching(event))
        assert found == sorted(one.id for one in compiled if matches(event, one))


def test_a_short_path_is_found_once_by_its_prefix() -> None:
    compiled = [definition(0, "/*", None, "every_event"), definition(1, "/shop/*", None, "every_event")]
    index = TypeIndex([Feed(one, (), ()) for one in compiled])
    event = Event(type="t", project="p", id=None, occurred_at=0, received_at=0, url="https://a.example/")
    assert [feed.definition.id for feed in index.matching(event)] == ["d0"]


def test_a_slash_in_the_query_of_a_url_without_a_path_is_no_path() -> None:
    index = TypeIndex([Feed(definition(0, "/blog", None, "every_event"), (), ())])
    for tail in ("?q=/blog", "#/blog", "?q=/blog#x"):
        event = Event("t", "p", None, 0, 0, "https://a.example" + tail, None, None, None, b"{}")
        assert not index.matching(event)
