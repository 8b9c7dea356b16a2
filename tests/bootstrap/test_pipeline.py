"""Readings of the pipeline: one that failed does not stand for those after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.bootstrap import Parts, PipelineReader, folding_rules, pipeline, pipeline_status
from app.domain.beginning import Beginning, Spans
from app.domain.increments import Position
from config.settings import Settings
from tests.stores.counting import POSITION, apply, increments, simple

SPANS = {Position("events", 0): (0, 7)}


async def test_a_defect_while_the_log_is_asked_fails_one_reading_and_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[Spans | Exception] = iter([ValueError("a defect"), SPANS])

    async def read_spans(_: Parts) -> Spans:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def status(_: Parts, spans: Spans | None) -> dict[str, Any]:
        return {"workers": [], "spans": spans}

    async def no_servers(*_: object) -> list[Any]:
        return []

    monkeypatch.setattr(pipeline, "read_spans", read_spans)
    monkeypatch.setattr(pipeline, "pipeline_status", status)
    monkeypatch.setattr(pipeline, "ask_every_server", no_servers)
    for pause in ("KEPT_SECONDS", "LOG_SECONDS"):
        monkeypatch.setattr(pipeline, pause, -1.0)
    reader = PipelineReader(cast(Parts, SimpleNamespace(redis=None)))
    with pytest.raises(ValueError, match="a defect"):
        await reader.read()
    assert (await reader.read())["spans"] == SPANS


async def test_what_a_generation_leaves_out_is_told_right_before_the_brokers_are_asked_again(
    redis_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"redis": redis_url, "database": sqlite_url, "data_dir": tmp_path}
    async with Parts(Settings(kafka="nowhere:1", **given), "test") as parts:
        parts.database.migrate()
        beginning = Beginning(1, {POSITION.name: 60}, left_out_up_to=0)
        number = (await parts.generations.create(folding_rules(parts.settings), 1, beginning)).number
        await parts.generations.switch(number)
        await apply(await parts.counters(), increments(simple(1, 2, 3), expected=60))
        for end in (0, 50, 63, 70):
            (row,) = (await pipeline_status(parts, {POSITION: (0, end)}))["generations"]
            assert (row["counted"], row["messages"], row["leftOut"]) == (3, max(end, 63) - 60, 60)
