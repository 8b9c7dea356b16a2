"""The form of a conversion goal and the definition that it stands for. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from api.dashboard.condition_rows import Row, to_conditions, to_rows
from api.dashboard.forms import Faults, Form

TEXTS = ("name", "eventType", "urlPattern", "metric", "counting", "valueProperty")
_OF_EVENTS = ("eventType", "valueProperty")
"""They say what stands in events, where a space at the end is one: an edit must not take it away."""
FIELDS = (*TEXTS, "conditions")
COUNTING = (
    ("every_event", "Every time", "each event is a conversion"),
    ("once_per_session", "Once a session", "the first in each session"),
    ("once_per_visitor", "Once a person", "the first of each visitor or user"),
)


def to_body(form: Form, faults: Faults) -> dict[str, Any]:
    """The definition with the API's field names; what was left empty is absent."""
    body: dict[str, Any] = {name: text for name in TEXTS if (text := form.text(name).strip())}
    body |= {name: form.text(name) for name in _OF_EVENTS if name in body}
    if body.get("counting") == "every_event":
        del body["counting"]
    written = form.text("conditions").strip()
    if written:
        try:
            body["conditions"] = json.loads(written)
        except (ValueError, RecursionError) as error:
            where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
            faults.add("conditions", f'This is not JSON{where}. For example: {{"plan": "pro"}}')
    else:
        conditions = to_conditions(rows(form))
        if conditions is not None:
            body["conditions"] = conditions
    return body


def rows(form: Form) -> list[Row]:
    """The rows of conditions as they were filled in."""
    columns = (form.texts("property"), form.texts("operator"), form.texts("value"))
    return [Row(name, operator or "$eq", value) for name, operator, value in zip_longest(*columns, fillvalue="")]


def to_form(body: Mapping[str, Any]) -> Form:
    """The form filled in with a definition; conditions that rows cannot say stand there as JSON."""
    pairs = [(name, str(body[name])) for name in TEXTS if body.get(name) not in {None, ""}]
    found = to_rows(body.get("conditions"))
    if found is None:
        pairs.append(("conditions", json.dumps(body["conditions"], indent=2, ensure_ascii=False)))
    for row in found or ():
        pairs += [("property", row.property), ("operator", row.operator), ("value", row.value)]
    return Form(pairs)
