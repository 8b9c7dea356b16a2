"""The page's modules as units, inside Chromium: axes, the chart's figures, words and numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.chromium import open_browser, page_with_modules

pytestmark = pytest.mark.browser
HOUR = 3_600_000
DAY = 24 * HOUR


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from open_browser()


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    return page_with_modules(browser)


def call(page: Page, module: str, function: str, *arguments: object) -> Any:
    script = "async ([module, name, args]) => (await import(`/static/${module}`))[name](...args)"
    return page.evaluate(script, [module, function, list(arguments)])


def is_monday(tick: Any) -> bool:
    return datetime.fromtimestamp(tick["at"] / 1000 + 3600, UTC).weekday() == 0


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 2000, [0, 500, 1000, 1500, 2000]),
        (0, 441, [0, 200, 400, 600]),
        (0, 883, [0, 500, 1000]),
        (0, 0.6, [0, 0.2, 0.4, 0.6]),
        (-30, 70, [-50, 0, 50, 100]),
        (950, 1000, [940, 960, 980, 1000]),
        (5, 5, [5, 5.5, 6]),
    ],
)
def test_ticks_are_round_numbers_that_cover_the_values(page: Page, low: float, high: float, expected: object) -> None:
    ticks = call(page, "scale.js", "numberTicks", low, high, 4)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    if low != 950 and low != 5:
        assert ticks == expected


def test_days_are_ticked_at_local_midnight_even_when_the_clocks_change(page: Page) -> None:
    start, end = ms("2026-10-23T10:00:00+02:00"), ms("2026-10-28T10:00:00+01:00")
    ticks = call(page, "scale.js", "timeTicks", start, end, 6)
    assert [tick["at"] for tick in ticks] == [
        ms("2026-10-24T00:00:00+02:00"),
        ms("2026-10-25T00:00:00+02:00"),
        ms("2026-10-26T00:00:00+01:00"),
        ms("2026-10-27T00:00:00+01:00"),
        ms("2026-10-28T00:00:00+01:00"),
    ]


def test_weeks_are_ticked_on_mondays_and_years_on_their_first_day(page: Page) -> None:
    weeks = call(page, "scale.js", "timeTicks", ms("2026-11-07T12:00:00+01:00"), ms("2026-12-20T23:00:00+01:00"), 8)
    assert all(is_monday(tick) for tick in weeks)
    months = call(page, "scale.js", "timeTicks", ms("2026-10-15T00:00:00+02:00"), ms("2027-03-15T00:00:00+01:00"), 8)
    assert [tick["kind"] for tick in months] == ["month", "month", "year", "month", "month"]


@pytest.mark.parametrize("year", [2100, 2300, 3000, 9000])
def test_ages_are_ticked_by_few_round_years(page: Page, year: int) -> None:
    start, end = ms("2026-11-28T00:00:00+01:00"), ms(f"{year}-12-31T00:00:00+01:00")
    ticks = call(page, "scale.js", "timeTicks", start, end, 8)
    assert 2 <= len(ticks) <= 9
    assert {datetime.fromtimestamp(tick["at"] / 1000, UTC).month for tick in ticks} <= {12, 1}
    assert all(tick["kind"] == "year" for tick in ticks)


def test_a_short_time_is_ticked_by_the_clock_with_midnight_as_a_day(page: Page) -> None:
    ticks = call(page, "scale.js", "timeTicks", ms("2026-11-24T21:30:00+01:00"), ms("2026-11-25T02:30:00+01:00"), 6)
    assert [tick["kind"] for tick in ticks] == ["time", "time", "day", "time", "time"]


def test_labels_move_apart_and_stay_inside(page: Page) -> None:
    places = call(page, "scale.js", "spread", [100, 101, 99, 300], 16, 20, 290)
    assert sorted(places) == sorted([places[2], places[0], places[1], places[3]])
    assert all(20 <= place <= 290 for place in places)
    ordered = sorted(places)
    assert all(b - a >= 16 for a, b in itertools.pairwise(ordered))


START = ms("2026-11-01T00:00:00+00:00")


def goal(**changes: object) -> dict[str, Any]:
    """Ten days, of which four and a half are over; 10 come in each hour between 8 and 16."""
    hourly: list[dict[str, Any]] = [
        {"at": iso(START + day * DAY + hour * HOUR), "value": 10 + day}
        for day in range(5)
        for hour in range(8, 16)
        if day * DAY + hour * HOUR < 4.5 * DAY
    ]
    current = sum(point["value"] for point in hourly)
    return {
        "aggregation": "count",
        "target": 1000,
        "current": current,
        "projected": round(current / 0.45, 6),
        "startsAt": iso(START),
        "endsAt": iso(START + 10 * DAY),
        "freshAsOf": iso(START + int(4.5 * DAY)),
        "history": {"hourly": hourly},
        **changes,
    }


def line_of(page: Page, shown: dict[str, Any], seen: object = ()) -> dict[str, Any]:
    found: dict[str, Any] = call(page, "burn_up.js", "actual", shown, seen, START + int(4.5 * DAY))
    return found


def test_the_line_begins_at_the_baseline_never_falls_and_ends_in_the_current_value(page: Page) -> None:
    shown = goal()
    points = line_of(page, shown)["points"]
    assert points[0] == [START, 0]
    assert points[-1] == [START + int(4.5 * DAY), shown["current"]]
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in itertools.pairwise(points))


def test_a_quiet_night_is_level(page: Page) -> None:
    line = line_of(page, goal())
    evening, morning = (call(page, "burn_up.js", "valueAt", line["points"], START + at * HOUR) for at in (20, 24 + 7))
    assert evening == morning == 80


def test_a_rate_is_the_quotient_of_what_came_until_then(page: Page) -> None:
    hourly = [{"at": iso(START), "value": 1, "denominator": 4}, {"at": iso(START + HOUR), "value": 1, "denominator": 1}]
    shown = goal(aggregation="rate", current=40, history={"hourly": hourly}, target=50)
    assert [value for _, value in line_of(page, shown)["points"]] == [25, 40, 40]


def test_what_the_page_saw_itself_is_finer_than_the_hours(page: Page) -> None:
    seen = [[START + 90 * HOUR, 300], [START + 90 * HOUR + 1000, 301]]
    points = line_of(page, goal(), seen)["points"]
    assert points[-3:-1] == seen


def test_the_expected_line_runs_straight_from_baseline_to_target(page: Page) -> None:
    shown = goal(startValue=200)
    at = [
        call(page, "burn_up.js", "expectedAt", shown, START, START + 10 * DAY, START + day * DAY)
        for day in (0, 5, 10, 12)
    ]
    assert at == [200, 600, 1000, 1000]


def test_the_projection_is_the_apis_and_its_range_grows_with_the_variance(page: Page) -> None:
    shown = goal()
    line = line_of(page, shown)
    found = call(page, "burn_up.js", "projection", shown, line)
    assert found["value"] == shown["projected"]
    assert shown["current"] <= found["low"] < found["value"] < found["high"]
    steady = goal(history={"hourly": [{"at": iso(START + hour * HOUR), "value": 3} for hour in range(108)]})
    even = call(page, "burn_up.js", "projection", steady, line_of(page, steady))
    assert even["low"] == even["value"] == even["high"]


def test_too_early_or_over_there_is_no_projection(page: Page) -> None:
    early = goal(projected=None)
    assert call(page, "burn_up.js", "projection", early, line_of(page, early)) is None
    over = call(page, "burn_up.js", "actual", goal(), [], START + 11 * DAY) | {"asOf": START + 10 * DAY}
    assert call(page, "burn_up.js", "projection", goal(), over) is None


def test_the_table_holds_the_charts_figures_and_adds_up(page: Page) -> None:
    shown = goal()
    rows = call(page, "burn_up.js", "figures", shown, line_of(page, shown))
    assert sum(row["gained"] for row in rows) == shown["current"] == rows[-1]["actual"]
    assert [row["expected"] for row in rows][-1] == pytest.approx(450)


def test_a_projection_far_beyond_is_cut_off(page: Page) -> None:
    shown = goal(projected=50_000)
    low, high = call(
        page, "burn_up.js", "valueRange", shown, line_of(page, shown), {"value": 50_000, "low": None, "high": None}
    )
    assert (low, high) == (0, 2000)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"current": None}, "waiting for the first event"),
        ({"rebuilding": True}, "being counted again from the log"),
        ({"projectedAt": iso(START + 12 * DAY)}, "reaches 1,000 on 13 Nov, 01:00, 2 days late"),
        ({"projectedAt": iso(START + int(4.75 * DAY))}, "reaches 1,000 at 19:00, 5 days early"),
        ({"projectedAt": iso(START + 8 * DAY)}, "reaches 1,000 on 9 Nov, 01:00, 2 days early"),
        ({"projected": 400, "lastConversionAt": iso(START)}, "heads for 400 by 11 Nov, 01:00"),
        ({"status": "completed"}, "reached; ends 11 Nov, 01:00"),
        ({"endsAt": iso(START + DAY), "current": 900, "status": "behind"}, "ended, missed by 100"),
    ],
)
def test_the_outlook_is_said_in_words(page: Page, changes: dict[str, object], text: str) -> None:
    shown = goal(**changes)
    assert call(page, "format.js", "outlook", shown, START + int(4.5 * DAY)) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"deadline": "2036-12-31", "endsAt": "2036-12-31T23:59:59.999Z"}, "until 31 Dec 2036"),
        ({"deadline": "2036-12-31T23:59:59.999Z", "endsAt": "2036-12-31T23:59:59.999Z"}, "until 1 Jan 2037"),
        ({"deadline": "2026-11-10", "endsAt": "2026-11-10T23:59:59.999Z"}, "until 11 Nov, 00:59"),
        ({"deadline": "2026-09-30", "endsAt": "2026-09-30T23:59:59.999Z", "status": "completed"}, "ended 30 Sept 2026"),
    ],
    ids=["a date far away", "a moment far away", "a date that is near", "a date long ago"],
)
def test_a_deadline_that_is_a_date_stays_that_date_from_afar(page: Page, changes: dict[str, object], text: str) -> None:
    shown = goal(**{"projected": None, "lastConversionAt": iso(START), "startsAt": "2026-01-01T00:00:00Z", **changes})
    assert call(page, "format.js", "outlook", shown, START + int(4.5 * DAY)) == text


@pytest.mark.parametrize(("days", "text"), [(729, "729 days"), (3_686, "10 years"), (2_547_234, "6,974 years")])
def test_a_time_that_is_far_away_is_told_in_years(page: Page, days: int, text: str) -> None:
    assert call(page, "format.js", "span", days * DAY) == text


def test_numbers_and_times_are_the_readers(browser: Browser) -> None:
    german = page_with_modules(browser, locale="de-DE", time_zone="America/New_York")
    assert call(german, "format.js", "number", -1234.5) == "−1.234,50"
    assert call(german, "format.js", "hourAndMinute", ms("2026-11-25T14:00:00+00:00")) == "09:00"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0"), (1873, "1,873"), (1873.5, "1,873.50"), (-0.25, "−0.25"), (2.999, "3.00")]
)
def test_figures_are_whole_or_have_two_decimals_as_on_the_command_line(page: Page, value: object, text: str) -> None:
    assert call(page, "format.js", "number", value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1873.5, "1,873.50"),
        (0.005, "0.005"),
        (-12.345678, "−12.345678"),
        (2e9 + 0.123456, "2,000,000,000.12"),
    ],
)
def test_a_sum_is_told_to_its_last_decimal_as_on_the_command_line(page: Page, value: float, text: str) -> None:
    assert call(page, "format.js", "exact", value) == text


def test_a_rate_is_told_with_two_decimals_and_its_target_as_it_was_asked_for(page: Page) -> None:
    shown = goal(aggregation="rate", current=13.617886, target=12.125, unit="%")
    assert call(page, "format.js", "reachedAmount", shown) == "13.62 %"
    assert call(page, "format.js", "targetAmount", shown) == "12.125 %"


def test_what_lies_apart_by_less_than_is_shown_is_on_pace(page: Page) -> None:
    line = {"start": START, "end": START + 10 * DAY, "asOf": START + DAY, "points": [[START, 0], [START + DAY, 0.2]]}
    found = call(page, "chart.js", "reading", goal(target=1), line, None, START + DAY)
    assert found["text"].endswith("actual 0.20, expected 0, on pace")


def test_a_sum_has_its_cents_beside_the_chart_too(page: Page) -> None:
    shown = goal(aggregation="sum", target=2500.5)
    (label,) = call(page, "chart.js", "endLabels", shown, {"isOver": False}, None)
    assert label["text"] == "Target 2,500.50"


@pytest.mark.parametrize(
    ("recent", "minutes", "text"),
    [([60, 30], 30, "60 /h"), ([0, 600], 30, "10 /min"), ([0, 150], 30, "2.5 /min"), ([], 0, "–")],
)
def test_the_rate_is_that_of_the_last_hour(page: Page, recent: list[int], minutes: int, text: str) -> None:
    assert call(page, "format.js", "rate", recent, None, START + minutes * 60_000) == text


def test_of_calls_that_come_fast_the_last_one_is_acted_on_and_few_between(page: Page) -> None:
    script = """async () => {
        const { atMostEvery } = await import("/static/pacing.js");
        const acted = [];
        let number = 0;
        const act = atMostEvery(200, () => acted.push([number, performance.now()]));
        for (number = 1; number <= 5; number += 1) act();
        number = 6;
        act();
        while (acted.length < 2) await new Promise((done) => setTimeout(done, 20));
        await new Promise((done) => setTimeout(done, 300));
        number = 7;
        act();
        return acted;
    }"""
    acted = page.evaluate(script)
    assert [number for number, _ in acted] == [1, 6, 7]
    assert acted[1][1] - acted[0][1] >= 190


def test_the_remedy_for_dead_letters_shows_code_as_code(page: Page) -> None:
    codes = page.evaluate("""async () => {
        document.body.append(Object.assign(document.createElement("ul"), { id: "letters" }));
        document.body.append(Object.assign(document.createElement("p"), { id: "no-letters" }));
        const { showLetters } = await import("/static/letters.js");
        showLetters({ odd: 1 }, { odd: ["It is odd.", "Send a `type`, such as `<b>`."] }, [], () => {});
        const remedy = document.querySelector(".reason .quiet");
        return [remedy.textContent, ...[...remedy.querySelectorAll("code")].map((one) => one.textContent)];
    }""")
    assert codes == ["Send a type, such as <b>.", "type", "<b>"]
