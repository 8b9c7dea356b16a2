"""What alerts and their messages are called on the page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.dashboard.alert_words import describe_delivery, describe_when
from app.domain.deliveries import Delivery


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"when": "status_change"}, "A status changes and holds for 5 min"),
        ({"when": "status_change", "holdMinutes": 0}, "A status changes"),
        ({"when": "status_change", "holdMinutes": 1440}, "A status changes and holds for 1,440 min"),
        ({"when": "target_reached"}, "A target is reached"),
        ({"when": "goal_silent", "silentHours": 2.5}, "A goal gets no conversion for 2.5 h"),
        ({"when": "stale", "staleMinutes": 10}, "Counting is more than 10 min late"),
        ({"when": "full_moon"}, "A rule that this version does not know"),
    ],
)
def test_when_it_tells_is_said_in_plain_words(body: dict[str, Any], words: str) -> None:
    assert describe_when(body) == words


@pytest.mark.parametrize(
    ("told", "outcome", "said"),
    [
        ({}, "◌ Waiting", "It is sent within seconds"),
        ({"attempts": 1}, "◌ Waiting", "It is being sent"),
        ({"attempts": 2, "error": "no answer within 10 s"}, "▲ Trying again", "No answer within 10 s"),
        ({"attempts": 9, "error": "the answer was 410", "next_at": None}, "✕ Given up", "The answer was 410"),
        ({"attempts": 1, "status": 204, "delivered_at": 9, "next_at": None}, "✓ Delivered", "The answer was 204"),
    ],
)
def test_the_outcome_of_a_message_is_said_in_words(told: dict[str, Any], outcome: str, said: str) -> None:
    body = json.dumps({"alert": "Mine", "text": "Mine: This is a test."})
    whole: dict[str, Any] = {"attempts": 0, "next_at": 5, "delivered_at": None, "status": None, "error": "", **told}
    line = describe_delivery(Delivery(id="dlv_1", alert="alert_1", created_at=0, body=body, **whole))
    assert (line["text"], line["word"], line["said"]) == ("This is a test.", outcome, said)
    assert line["next"] == ("1970-01-01T00:00:00.005Z" if "Trying" in outcome else None)
