"""The form of a goal and the definition that it stands for. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from api.dashboard.forms import Faults, Form, to_number

TEXTS = (
    "description",
    "metric",
    "unit",
    "deadline",
    "aggregation",
    "denominatorMetric",
    "period",
    "direction",
    "startsAt",
)
NUMBERS = ("target", "startValue")
FIELDS = (*TEXTS, *NUMBERS, "backfill", "conversionGoalIds")
AGGREGATIONS = (
    ("count", "Conversions", "every conversion counts one"),
    ("sum", "Their value", "the values of conversions added up, such as revenue"),
    ("unique", "People", "each person counts once"),
    ("rate", "A rate", "conversions as a percentage of another metric"),
)
PERIODS = (
    ("", "once, by the deadline"),
    ("day", "every day"),
    ("week", "every week"),
    ("month", "every month"),
    ("quarter", "every quarter"),
    ("year", "every year"),
)


def to_body(form: Form, faults: Faults) -> dict[str, object]:
    """The definition with the API's field names; what was left empty is absent."""
    body: dict[str, object] = {name: text for name in TEXTS if (text := form.text(name).strip())}
    for name in NUMBERS:
        text = form.text(name).strip()
        if text:
            number = to_number(text)
            if number is None:
                faults.add(name, f"{text[:40]!r} is not a number. Write it like 1000 or 19.90.")
            body[name] = number if number is not None else 1
    if form.text("backfill"):
        body["backfill"] = True
    if idents := form.texts("conversionGoalIds"):
        body["conversionGoalIds"] = idents
    for name, default in (("aggregation", "count"), ("direction", "at_least")):
        if body.get(name) == default:
            del body[name]
    if body.get("aggregation") != "rate":
        body.pop("denominatorMetric", None)  # the field is not shown then
    return body


def to_form(body: Mapping[str, object]) -> Form:
    """The form filled in with a definition."""
    pairs = [(name, str(body[name])) for name in (*TEXTS, *NUMBERS) if body.get(name) not in {None, ""}]
    if body.get("backfill"):
        pairs.append(("backfill", "on"))
    idents = body.get("conversionGoalIds")
    pairs.extend(("conversionGoalIds", str(ident)) for ident in (idents if isinstance(idents, list) else ()))
    return Form(pairs)
