"""Alerts and their messages in words: on the pages, and for the module that keeps the log as it is now. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.domain.alerting import DEFAULT_HOLD_MINUTES, When
from app.domain.deliveries import Delivery
from app.domain.moments import rfc3339


def describe_when(body: Mapping[str, Any]) -> str:
    """When the alert tells something."""
    when = body.get("when")
    if when == When.STATUS_CHANGE:
        hold = body.get("holdMinutes", DEFAULT_HOLD_MINUTES)
        return f"A status changes and holds for {hold:,g} min" if hold else "A status changes"
    if when == When.TARGET_REACHED:
        return "A target is reached"
    if when == When.GOAL_SILENT:
        return f"A goal gets no conversion for {body['silentHours']:,g} h"
    if when == When.STALE:
        return f"Counting is more than {body['staleMinutes']:,g} min late"
    return "A rule that this version does not know"


def describe_delivery(delivery: Delivery) -> dict[str, Any]:
    """A line of the log. `tone` is the status whose colours it has; `next` is None where no other attempt is known."""
    message = json.loads(delivery.body)
    tone, word = _outcome(delivery)
    return {
        "id": delivery.id,
        "at": rfc3339(delivery.created_at),
        "text": message["text"].removeprefix(f"{message['alert']}: "),
        "tone": tone,
        "word": word,
        "said": _said(delivery),
        "attempts": delivery.attempts,
        "next": rfc3339(delivery.next_at) if delivery.error else None,
    }


def _outcome(delivery: Delivery) -> tuple[str, str]:
    if delivery.delivered_at is not None:
        return "completed", "✓ Delivered"
    if delivery.next_at is None:
        return "behind", "✕ Given up"
    return ("at_risk", "▲ Trying again") if delivery.error else ("", "◌ Waiting")


def _said(delivery: Delivery) -> str:
    if delivery.error:
        return f"{delivery.error[:1].upper()}{delivery.error[1:]}"
    if delivery.delivered_at is not None:
        return f"The answer was {delivery.status}"
    return "It is being sent" if delivery.attempts else "It is sent within seconds"
