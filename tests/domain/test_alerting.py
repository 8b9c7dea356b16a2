"""Alerts: what is told, when, and that it is told once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.domain.alerting import Alert, Seen, Told, compile_alert, look
from app.domain.moments import rfc3339
from app.domain.webhook_address import may_connect, refusal_of_url
from app.errors import InvalidDefinition

NOW = 1_800_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE


def rule(when: str, **more: Any) -> Alert:
    body = {"name": "Tell", "url": "https://hooks.example.com/x", "when": when, **more}
    return compile_alert(body, allow_private=False)


def item(status: str | None = "on_track", **more: Any) -> dict[str, Any]:
    made = {
        "id": "goal_1",
        "metric": "signups",
        "description": "",
        "status": status,
        "statusSource": "auto",
        "direction": "at_least",
        "current": 40,
        "target": 100,
        "expected": 50.25,
        "lastConversionAt": rfc3339(NOW - HOUR),
        "startsAt": rfc3339(NOW - 100 * HOUR),
        "endsAt": rfc3339(NOW + 100 * HOUR),
        "periodStartsAt": rfc3339(NOW - 100 * HOUR),
    }
    return {**made, **more}


Look = tuple[int, Sequence[dict[str, Any]] | None, int | None]
"""(minutes after NOW, items, freshness in minutes after NOW)."""


def texts(alert: Alert, looks: Sequence[Look]) -> list[list[str]]:
    """What each look tells, each from what the last one kept."""
    told: dict[str, Told] = {}
    found = []
    for minutes, items, fresh in looks:
        seen = Seen(items, None if fresh is None else NOW + fresh * MINUTE)
        told, notices = look(alert, told, seen, NOW + minutes * MINUTE)
        found.append([notice["text"] for notice in notices])
    return found


def told_at(alert: Alert, items: Sequence[tuple[int, dict[str, Any]]]) -> list[int]:
    """The minutes at which something is told, where all is as fresh as can be."""
    looks: list[Look] = [(minutes, [one], minutes) for minutes, one in items]
    return [minutes for (minutes, _), said in zip(items, texts(alert, looks), strict=True) if said]


def statuses(*words: tuple[int, str | None]) -> list[tuple[int, dict[str, Any]]]:
    return [(minutes, item(word)) for minutes, word in words]


@pytest.mark.parametrize(
    ("hold", "seen", "expected"),
    [
        (5, statuses((0, "behind"), (60, "behind")), []),
        (0, statuses((0, "on_track"), (1, "behind"), (2, "behind")), [1]),
        (5, statuses((0, "on_track"), (1, "behind"), (5, "behind"), (6, "behind"), (7, "behind")), [6]),
        # On the edge: neither status holds, and what was told last is what it comes back to.
        (5, statuses(*((n, ("at_risk", "on_track")[n % 2]) for n in range(1, 100))), []),
        # A third status on the way begins to hold anew.
        (5, statuses((0, "on_track"), (1, "at_risk"), (4, "behind"), (8, "behind"), (9, "behind")), [9]),
        (5, statuses((0, "on_track"), (1, "behind"), (3, "on_track"), (4, "behind"), (7, "behind")), []),
        # What cannot be judged neither tells nor forgets.
        (0, statuses((0, "on_track"), (1, None), (2, "on_track"), (3, None), (4, "behind")), [4]),
    ],
)
def test_a_change_of_status_that_holds_is_told_once(
    hold: int, seen: list[tuple[int, dict[str, Any]]], expected: list[int]
) -> None:
    assert told_at(rule("status_change", holdMinutes=hold), seen) == expected


def test_a_change_is_told_with_its_figures() -> None:
    looks: list[Look] = [(0, [item()], 0), (1, [item("behind")], 1)]
    said = texts(rule("status_change", holdMinutes=0), looks)[1]
    assert said == ["Tell: signups: behind, was on track (40 of 100, 50.2 expected)."]


def test_a_sum_is_told_to_its_last_decimal_and_a_rate_with_two() -> None:
    told: list[tuple[dict[str, Any], str]] = [
        ({"aggregation": "sum", "current": 49.999, "target": 50}, "49.999 of 50"),
        ({"aggregation": "rate", "current": 13.618421, "target": 12.5}, "13.62 of 12.50"),
    ]
    for more, figures in told:
        looks: list[Look] = [(0, [item(**more)], 0), (1, [item("behind", **more)], 1)]
        assert figures in texts(rule("status_change", holdMinutes=0), looks)[1][0]


def done(current: int, **more: Any) -> dict[str, Any]:
    return item("completed" if current >= 100 else "on_track", current=current, **more)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([(0, done(99)), (1, done(100)), (2, done(101))], [1]),
        ([(0, done(100)), (1, done(101))], []),
        # Taken back and there again: the target was reached before.
        ([(0, done(99)), (1, done(100)), (2, done(99)), (3, done(100))], [1]),
        ([(0, done(99)), (1, done(100)), (2, done(0, periodStartsAt="b")), (3, done(100, periodStartsAt="b"))], [1, 3]),
        ([(0, done(99)), (1, done(100)), (2, item(current=100, target=200))], [1]),
        # A status by hand hides nothing and makes nothing up.
        ([(0, item("completed", statusSource="manual")), (1, item("completed", statusSource="manual"))], []),
        ([(0, done(99)), (1, item("behind", statusSource="manual", current=100))], [1]),
        ([(0, item(direction="at_most")), (1, item("completed", direction="at_most"))], [1]),
    ],
)
def test_a_target_is_reached_once_a_period(seen: list[tuple[int, dict[str, Any]]], expected: list[int]) -> None:
    assert told_at(rule("target_reached"), seen) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([(0, item()), (59, item()), (60, item()), (61, item()), (90, item())], [61]),
        # So already when the rule is made.
        ([(120, item()), (121, item())], [120]),
        ([(61, item()), (62, item(lastConversionAt=rfc3339(NOW + 62 * MINUTE))), (200, item())], [61, 200]),
        ([(0, item(lastConversionAt=None, startsAt=rfc3339(NOW))), (121, item(lastConversionAt=None))], [121]),
        # What is over is not silent.
        ([(61, item(endsAt=rfc3339(NOW)))], []),
    ],
)
def test_a_silent_goal_is_told_of_once(seen: list[tuple[int, dict[str, Any]]], expected: list[int]) -> None:
    assert told_at(rule("goal_silent", silentHours=2), seen) == expected


def test_a_pipeline_that_stands_still_is_no_silent_goal() -> None:
    assert texts(rule("goal_silent", silentHours=2), [(0, [item()], 0), (500, [item()], 0)]) == [[], []]


def test_stale_data_are_told_of_once_and_are_fresh_again_well_below_the_limit() -> None:
    ages = [0, 9, 10, 11, 12, 9, 11, 6, 11, 4, 10, 11]
    looks: list[Look] = [(100, None, 100 - age) for age in ages]
    said = texts(rule("stale", staleMinutes=10), looks)
    assert [age for age, told in zip(ages, said, strict=True) if told] == [11, 11]
    assert bool(said[3]) is bool(said[11]) is True


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([(0, 0), (100, None), (109, None), (110, None), (111, None)], [110]),
        # So already when the rule is made.
        ([(0, None), (9, None), (10, None), (11, None)], [10]),
        ([(0, 0), (1, None), (9, None), (9, 9), (10, None), (19, None), (20, None)], [20]),
        # Told once, whether or not anything is known of it.
        ([(20, 0), (21, None), (90, None)], [20]),
        ([(0, None), (10, None), (11, 0), (90, None), (91, 91), (92, None), (102, None)], [10, 102]),
    ],
)
def test_data_of_unknown_age_are_stale_once_nothing_was_known_for_that_long(
    seen: list[tuple[int, int | None]], expected: list[int]
) -> None:
    said = texts(rule("stale", staleMinutes=10), [(minute, None, fresh) for minute, fresh in seen])
    assert [minute for (minute, _), told in zip(seen, said, strict=True) if told] == expected


def test_goals_that_are_not_named_are_not_looked_at_and_gone_ones_are_forgotten() -> None:
    alert = rule("status_change", holdMinutes=0, goalIds=["goal_1"])
    told, _ = look(alert, {"gone": Told("behind")}, Seen([item(), item(id="goal_2")], NOW), NOW)
    assert told == {"goal_1": Told("on_track")}
    assert look(alert, told, Seen(None, NOW), NOW) == (told, [])


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"when": None}, "/when"),
        ({"when": "sometimes"}, "/when"),
        ({"when": "goal_silent"}, "/silentHours"),
        ({"when": "goal_silent", "silentHours": 0}, "/silentHours"),
        ({"when": "stale", "staleMinutes": 10, "goalIds": ["g"]}, "/goalIds"),
        ({"when": "stale", "staleMinutes": 50_000}, "/staleMinutes"),
        ({"silentHours": 3}, "/silentHours"),
        ({"when": "target_reached", "holdMinutes": 3}, "/holdMinutes"),
        ({"holdMinutes": -1}, "/holdMinutes"),
        ({"name": " "}, "/name"),
        ({"status": "off"}, "/status"),
        ({"webhook": "x"}, "/webhook"),
        ({"url": "http://hooks.example.com"}, "/url"),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], wrong: str) -> None:
    whole = {"name": "Tell", "url": "https://hooks.example.com/x", "when": "status_change", **body}
    with pytest.raises(InvalidDefinition) as caught:
        compile_alert(whole, allow_private=False)
    assert caught.value.field == wrong
    assert caught.value.others == ()


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://hooks.example.com/a?b=c", True),
        ("https://hooks.example.com:8443/a", True),
        ("https://1.1.1.1/", True),
        ("http://hooks.example.com/a", False),
        ("ftp://hooks.example.com/a", False),
        ("hooks.example.com/a", False),
        ("https://", False),
        ("https://user:pass@hooks.example.com/", False),
        ("https://hooks.example.com/#a", False),
        ("https://hooks.example.com/\\@10.0.0.1", False),
        ("https://hooks.example.com/a b", False),
        ("https://hööks.example.com/", False),
        ("https://hooks.example.com:99999/", False),
        ("https://127.0.0.1/", False),
        ("https://[::1]/", False),
        ("https://[::ffff:10.0.0.1]/", False),
    ],
)
def test_webhooks_go_to_https_and_public_addresses(url: str, is_allowed: bool) -> None:
    assert (refusal_of_url(url, allow_private=False) == "") is is_allowed


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1"),
        *(
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:0:1::",
            "2001:db8::1",
        ),
        *("::7f00:1", "fec0::1"),
    ],
)
def test_an_address_that_is_not_public_is_refused_unless_allowed(address: str) -> None:
    assert not may_connect(address, allow_private=False)
    assert may_connect(address, allow_private=True)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert may_connect(address, allow_private=False)
