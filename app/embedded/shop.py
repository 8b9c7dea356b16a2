"""A make-believe shop: seeded, so that the same seed tells the same story. For the demo, the tests and the benchmark.

Visitors come in sessions, look at products, sign up, try a plan, buy, and come back. Pure: no clock, no I/O. What is
expected of it is never taken from here: tests count by themselves what they publish.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

ORIGIN: Final = "https://shop.example"
CATEGORIES: Final = {
    "coffee": ("house-blend", "espresso-roast", "decaf", "single-origin"),
    "tea": ("earl-grey", "sencha", "rooibos"),
    "gear": ("grinder", "kettle", "french-press", "scale"),
    "gifts": ("gift-card", "starter-set"),
}
PRICES: Final = {"coffee": (8, 24), "tea": (5, 15), "gear": (25, 180), "gifts": (20, 100)}
PLANS: Final = ("starter", "pro", "team")
PLAN_WEIGHTS: Final = (60, 30, 10)
PLAN_PRICES: Final = {"starter": "9.00", "pro": "29.00", "team": "99.00"}
COUNTRIES: Final = ("DE", "AT", "CH", "FR", "PL", "US", "GB")
COUNTRY_WEIGHTS: Final = (30, 8, 7, 12, 9, 20, 14)
SOURCES: Final = ("search", "newsletter", "social", "direct", "partner")
DEVICES: Final = ("phone", "desktop", "tablet")
EXPERIMENT: Final = "checkout-layout"
CONCURRENT_SESSIONS: Final = 60
KNOWN_VISITORS: Final = 400
"""So many visitors are remembered, to come back."""


@dataclass(slots=True)
class _Visitor:
    ident: str
    country: str
    device: str
    variant: str
    user: str | None = None
    trial: str | None = None


@dataclass(slots=True)
class _Session:
    visitor: _Visitor
    ident: str
    source: str
    step: str = "arrive"
    basket: list[tuple[str, str, int]] = field(default_factory=list)


class Shop:
    """An endless run of events for one project. Events carry no `timestamp`: they happen when they are published."""

    def __init__(self, project: str, *, seed: int, run: str = "") -> None:
        """`run` goes into the ids: two runs of one seed with different ones are different events."""
        self._project = project
        self._chance = random.Random(seed)  # noqa: S311  # a story, no secret
        self._prefix = f"{run or seed}"
        self._number = 0
        self._visitors: list[_Visitor] = []
        self._sessions: list[_Session] = []

    def events(self) -> Iterator[dict[str, Any]]:
        """One event after the other; sessions overlap, each in its own order."""
        while True:
            while len(self._sessions) < CONCURRENT_SESSIONS:
                self._sessions.append(self._arrive())
            session = self._chance.choice(self._sessions)
            yield self._next(session)
            if session.step == "gone":
                self._sessions.remove(session)

    # -- people

    def _arrive(self) -> _Session:
        chance = self._chance
        if self._visitors and chance.random() < 0.35:
            visitor = chance.choice(self._visitors)
        else:
            visitor = _Visitor(
                ident=f"v-{self._prefix}-{self._count()}",
                country=chance.choices(COUNTRIES, COUNTRY_WEIGHTS)[0],
                device=chance.choice(DEVICES),
                variant=chance.choice(("one-page", "steps")),
            )
            self._visitors.append(visitor)
            if len(self._visitors) > KNOWN_VISITORS:
                self._visitors.pop(0)
        return _Session(visitor, f"s-{self._prefix}-{self._count()}", chance.choice(SOURCES))

    # -- what they do: each step yields one event and says where the visitor goes from there

    def _next(self, session: _Session) -> dict[str, Any]:
        step = session.step
        if step == "arrive":
            session.step = self._go(browse=55, pricing=20, news=8, gone=17)
            return self._visit(session, "/" if self._chance.random() < 0.6 else f"/?utm_source={session.source}")
        if step == "browse":
            return self._browse(session)
        if step == "pricing":
            session.step = self._go(sign_up=28, browse=30, gone=42) if not session.visitor.user else "trial"
            return self._visit(session, "/pricing")
        if step == "sign_up":
            return self._sign_up(session)
        if step == "trial":
            return self._trial(session)
        if step == "checkout":
            session.step = self._go(buy=64, gone=36)
            amount = sum(price for _, _, price in session.basket)
            return self._event(
                session, "checkout_started", "/checkout", {"items": len(session.basket), "amount": amount}
            )
        if step == "buy":
            return self._buy(session)
        session.step = self._go(browse=40, gone=60)
        return self._event(session, "newsletter_subscribed", "/newsletter", {"source": session.source})

    def _browse(self, session: _Session) -> dict[str, Any]:
        chance = self._chance
        category = chance.choice(tuple(CATEGORIES))
        product = chance.choice(CATEGORIES[category])
        if chance.random() < 0.25:
            price = chance.randint(*PRICES[category])
            session.basket.append((category, product, price))
            session.step = self._go(checkout=45, browse=40, gone=15)
            shown = {"product": product, "category": category, "price": price}
            return self._event(session, "added_to_basket", f"/products/{category}/{product}", shown)
        session.step = self._go(browse=58, pricing=14, gone=28)
        return self._visit(session, f"/products/{category}/{product}")

    def _sign_up(self, session: _Session) -> dict[str, Any]:
        session.visitor.user = session.visitor.user or f"u-{self._prefix}-{self._count()}"
        session.step = self._go(trial=48, browse=27, gone=25)
        shown = {"form": "sign-up", "source": session.source, "newsletter": self._chance.random() < 0.4}
        return self._event(session, "form_submit", "/signup/complete", shown)

    def _trial(self, session: _Session) -> dict[str, Any]:
        visitor = session.visitor
        if visitor.trial is not None:
            plan, visitor.trial = visitor.trial, None
            session.step = "gone"
            return self._event(
                session, "subscription_started", "/account/plan", {"plan": plan, "amount": PLAN_PRICES[plan]}
            )
        plan = self._chance.choices(PLANS, PLAN_WEIGHTS)[0]
        visitor.trial = plan
        session.step = self._go(browse=35, gone=65)
        return self._event(session, "trial_started", "/account/trial", {"plan": plan, "days": 14})

    def _buy(self, session: _Session) -> dict[str, Any]:
        amount = sum(price for _, _, price in session.basket) + self._chance.choice((0, 0.5, 0.9, 0.99))
        items = [
            {"product": product, "category": category, "price": price} for category, product, price in session.basket
        ]
        session.basket.clear()
        session.step = self._go(browse=10, gone=90)
        shown = {"amount": amount, "currency": "EUR", "items": items, "first": session.visitor.user is None}
        return self._event(session, "purchase", "/checkout/thanks", shown)

    def _visit(self, session: _Session, path: str) -> dict[str, Any]:
        return self._event(session, "pageview", path, {"source": session.source, "device": session.visitor.device})

    def _event(self, session: _Session, kind: str, path: str, about: dict[str, Any]) -> dict[str, Any]:
        visitor = session.visitor
        event: dict[str, Any] = {
            "id": f"e-{self._prefix}-{self._count()}",
            "type": kind,
            "projectKey": self._project,
            "url": ORIGIN + path,
            "visitorId": visitor.ident,
            "sessionId": session.ident,
            "data": {"country": visitor.country, **about},
        }
        if visitor.user is not None:
            event["userId"] = visitor.user
        if path.startswith("/checkout"):
            event["experiments"] = {EXPERIMENT: visitor.variant}
        return event

    def _go(self, **weights: int) -> str:
        return self._chance.choices(tuple(weights), tuple(weights.values()))[0]

    def _count(self) -> int:
        self._number += 1
        return self._number
