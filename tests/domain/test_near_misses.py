"""What a preview warns of: mistakes as people make them, and the words that put them right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.conversion_goal import compile_conversion_goal
from app.domain.discovery import MAX_CHILDREN, discover
from app.domain.event import Event
from app.domain.preview import Preview, preview

SHOP = "https://shop.example"


def event(
    type_: str = "purchase", url: str | None = f"{SHOP}/checkout/thanks", ident: str | None = None, **data: Any
) -> Event:
    whole = {"amount": 49.9, "currency": "EUR", "plan": "pro", **data}
    return Event(type_, "shop", ident, 0, 0, url=url, visitor_id="v", data=json.dumps(whole).encode())


SEEN = [
    event(),
    event(),
    event("pageview", f"{SHOP}/products/tea/"),
    event("pageview", f"{SHOP}/products/4711"),
    event("pageview", "/Pricing"),
]


def tried(events: list[Event] = SEEN, **definition: Any) -> Preview:
    return preview(events, compile_conversion_goal({"name": "tried", "eventType": "purchase", **definition}))


@pytest.mark.parametrize(
    ("definition", "told"),
    [
        ({"eventType": "Purchase"}, 'Did you mean "purchase" (2 events)?'),
        ({"eventType": "purchse"}, 'Did you mean "purchase" (2 events)?'),
        ({"eventType": "page_view"}, 'Did you mean "pageview" (3 events)?'),
        ({"eventType": "order", "conditions": {"plan": "pro"}}, 'All else holds for 3 events of the type "pageview".'),
        ({"urlPattern": "/checkout/thanks/"}, "2 events had this path without a trailing slash."),
        ({"urlPattern": "/checkout/:page/"}, "2 events had this path without a trailing slash."),
        ({"urlPattern": f"{SHOP}/checkout/thanks/"}, "2 events had this path without a trailing slash."),
        ({"eventType": "pageview", "urlPattern": "/products/tea"}, "1 event had this path with a trailing slash."),
        ({"eventType": "pageview", "urlPattern": "/pricing"}, "1 event had this path in another case: /Pricing."),
        ({"urlPattern": "/Checkout/*"}, "2 events had this path in another case: /checkout/thanks."),
        ({"urlPattern": "https://www.shop.example/checkout/*"}, f"2 events had this path at {SHOP}."),
        ({"urlPattern": "http://shop.example/checkout/*"}, f"2 events had this path at {SHOP}."),
        ({"eventType": "pageview", "urlPattern": f"{SHOP}/Pricing"}, "1 event had this path without a host."),
        ({"urlPattern": "/checkout"}, "2 events had a path below it: /checkout/* counts these."),
        ({"urlPattern": "/chekout/*"}, 'Did you mean the path "/checkout" (2 events)?'),
        ({"urlPattern": "/products/:id"}, 'All else holds for 1 event of the type "pageview".'),
        ({"conditions": {"amout": {"$gte": 10}}}, 'No recent event has "amout". Did you mean "amount" (2 events)?'),
        ({"conditions": {"amount": "49.9"}}, "amount is a number in these events, and a text is asked for."),
        ({"conditions": {"currency": {"$gt": 5}}}, "currency is a text in these events, and a number is asked for."),
        ({"conditions": {"currency": "eur"}}, 'currency: did you mean "EUR" (2 events)?'),
        ({"conditions": {"currency": {"$in": ["usd", "eur"]}}}, 'currency: did you mean "EUR" (2 events)?'),
        ({"conditions": {"amount": {"$gte": 1e9}}}, "No recent event holds: amount is at least 1000000000."),
        ({"counting": "once_per_session"}, "No recent event holds: a session is given."),
        ({"valueProperty": "total"}, "has a number at total: nothing would be summed. Numbers there: amount."),
        (
            {"conditions": {"amount": {"$gt": 5, "$lt": 3}}},
            "No event can ever count: amount is more than 5 and less than 3.",
        ),
    ],
)
def test_a_mistake_is_told_with_what_was_probably_meant(definition: dict[str, Any], told: str) -> None:
    warnings = tried(**definition).warnings
    assert any(told in warning for warning in warnings), warnings


@pytest.mark.parametrize(
    "definition", [{}, {"urlPattern": "/checkout/*", "conditions": {"plan": "team"}, "valueProperty": "amount"}]
)
def test_where_something_would_count_nothing_is_warned_of(definition: dict[str, Any]) -> None:
    assert tried([*SEEN, event(plan="team")], **definition).warnings == []


def test_without_events_and_with_hostile_ones_it_is_only_said_that_nothing_would_count() -> None:
    assert tried([]).warnings == ["No recent events to compare with: the definition is saved as it is."]
    hostile = [event(url="http://[::1"), event(url=""), event(url="\ud800/x"), event(url="//")]
    told = tried(hostile, urlPattern="/a(\\D)/").warnings
    assert told[0] == "None of the last 4 events of this type would count."


def test_corrections_and_copies_are_no_conversions_of_their_own() -> None:
    back = Event("purchase", "shop", "r1", 0, 0, data=b"{}", corrects="e1")
    found = tried([back, event(ident="e1"), event(ident="e1"), event()])
    assert (found.seen, found.matched) == (2, 2)


def test_paths_with_many_names_are_told_as_one() -> None:
    many = [event("read", f"{SHOP}/blog/title-{number}/comments") for number in range(MAX_CHILDREN + 1)]
    (seen,) = discover([*many, event("read", f"{SHOP}/about/us"), event("read", f"{SHOP}/orders/17")])
    assert seen.paths == {"/blog/*": MAX_CHILDREN + 1, "/about/us": 1, "/orders/:id": 1}
    (few,) = discover(many[:-1])
    assert len(few.paths) == MAX_CHILDREN
