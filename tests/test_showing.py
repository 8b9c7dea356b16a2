"""What is remembered of a goal from look to look."""

from __future__ import annotations

from app.showing import KnownGoal, spark_of

THIS_HOUR, NOW = 495_000, 495_000 * 3_600_000


def test_a_spark_line_is_drawn_from_what_was_remembered_when_it_was_asked_for() -> None:
    """While the answer is under way another look may have seen more, or another hour."""
    spark = spark_of(THIS_HOUR, "UTC")
    (*_, today, present), first = spark.sums, spark.hours[0]
    one = KnownGoal(None, {})
    one.recent(spark, None, {first: 3, today: 3}, NOW)
    hours = one.hours_at(spark, NOW)
    one.recent(spark, None, {first: 9, today: 9}, NOW)
    line = one.recent(spark, hours, {today: 5, present: 2}, NOW)
    assert (line[0], line[-1], sum(line)) == (3, 2, 5)


def test_hours_are_remembered_for_ten_seconds_of_the_same_hour() -> None:
    spark = spark_of(THIS_HOUR, "Asia/Kathmandu")
    one = KnownGoal(None, {})
    one.recent(spark, None, {}, NOW)
    assert one.hours_at(spark, NOW + 9_999) is not None
    assert one.hours_at(spark, NOW + 10_000) is None
    assert one.hours_at(spark, NOW - 1) is None
    assert one.hours_at(spark_of(THIS_HOUR + 1, "Asia/Kathmandu"), NOW) is None
