"""What became of goals' statuses, in SQLite and PostgreSQL: whoever records, and however often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sqlalchemy import text

from app.domain.declaring import GOAL
from app.domain.status_changes import Cause, Observation, StatusChange
from app.stores.database import Database
from app.stores.sql import SqlDefinitions
from app.stores.sql_status_changes import KEPT, SqlStatusChanges


def status_change(number: int, before: str | None, after: str) -> StatusChange:
    seen = Observation("g1", 1_000 + number, after, "auto", 1, None, False, 10, "at_least", 5, 5, 0.5)
    return StatusChange(number, before, Cause.NONE if before is None else Cause.PACE_LOST, seen)


def test_of_two_records_of_a_status_with_one_number_the_first_stays(
    database: Database, definitions: SqlDefinitions
) -> None:
    definitions.create("shop", GOAL, "g1", {"metric": "m"}, "key")
    changes = SqlStatusChanges(database)
    assert changes.watched() == ["shop"]
    first, second, late = (
        status_change(1, None, "on_track"),
        status_change(2, "on_track", "behind"),
        status_change(2, "on_track", "at_risk"),
    )
    changes.add("shop", [first])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: changes.add("shop", [second]), range(8)))
    changes.add("shop", [late])
    assert changes.last("shop") == {"g1": second}
    assert changes.of("shop", "g1", 10) == [second]
    assert changes.of("other", "g1", 10) == []
    assert changes.last("other") == {}


def test_the_newest_record_is_known_whoever_wrote_it(database: Database, definitions: SqlDefinitions) -> None:
    """Also that of a goal which was deleted and came again: its records are numbered from 1 once more."""
    for goal in ("g1", "g2"):
        definitions.create("shop", GOAL, goal, {"metric": "m"}, "key")
    reader, writer = SqlStatusChanges(database), SqlStatusChanges(database)
    first, second = status_change(1, None, "on_track"), status_change(2, "on_track", "behind")
    other = replace(first, seen=replace(first.seen, goal="g2"))
    writer.add("shop", [first, other])
    assert reader.last("shop") == {"g1": first, "g2": other}
    writer.add("shop", [second])
    assert reader.last("shop") == {"g1": second, "g2": other}
    with database.write() as connection:
        connection.execute(text("DELETE FROM status_changes"))
    assert reader.last("shop") == {}
    again = replace(first, seen=replace(first.seen, at=9_000, status="completed"))
    writer.add("shop", [again, other])
    assert reader.last("shop") == {"g1": again, "g2": other}


def test_a_status_that_flickers_does_not_fill_the_database(database: Database, definitions: SqlDefinitions) -> None:
    changes = SqlStatusChanges(database)
    changes.add("shop", [status_change(number, "on_track", "behind") for number in range(1, KEPT + 51)])
    kept = changes.of("shop", "g1", 10 * KEPT)
    assert [one.number for one in kept] == list(range(51, KEPT + 51))
    assert [one.number for one in changes.of("shop", "g1", 3)] == [KEPT + 48, KEPT + 49, KEPT + 50]
