"""The form of an alert and the rule that it stands for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.dashboard.forms import Faults, Form, to_number
from app.domain.alerting import When

TEXTS: Final = ("name", "url", "when")
SPANS: Final = {
    "holdMinutes": When.STATUS_CHANGE,
    "silentHours": When.GOAL_SILENT,
    "staleMinutes": When.STALE,
}
"""Numbers, each with the `when` that it belongs to."""
FIELDS: Final = (*TEXTS, *SPANS, "goalIds")
CHOICES: Final = (
    (When.STATUS_CHANGE, "A status changes", "a goal falls behind or recovers, and it lasts"),
    (When.TARGET_REACHED, "A target is reached", "once in a goal's time or period"),
    (When.GOAL_SILENT, "A goal is silent", "no conversion for so many hours"),
    (When.STALE, "Counting is late", "events are not counted for so many minutes"),
)


def to_body(form: Form, faults: Faults) -> dict[str, Any]:
    """The rule with the API's field names; what was left empty is absent, and so is what another `when` asks for."""
    body: dict[str, Any] = {name: text for name in TEXTS if (text := form.text(name).strip())}
    for name, when in SPANS.items():
        text = form.text(name).strip()
        if not text or body.get("when") != when:
            continue
        body[name] = to_number(text)
        if body[name] is None:
            faults.add(name, f"{text[:40]!r} is not a number. Write it like 10 or 2.5.")
    idents = form.texts("goalIds")
    if idents and body.get("when") != When.STALE:
        body["goalIds"] = idents
    return body


def to_form(body: Mapping[str, Any]) -> Form:
    """The form filled in with a rule."""
    pairs = [(name, str(body[name])) for name in (*TEXTS, *SPANS) if name in body]
    return Form([*pairs, *(("goalIds", ident) for ident in body.get("goalIds", ()))])
