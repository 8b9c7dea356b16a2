"""Readings of the pipeline: one that failed does not stand for those after it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.bootstrap import Parts, PipelineReader, pipeline
from app.domain.increments import Position

SPANS = {Position("events", 0): (0, 7)}


async def test_a_defect_while_the_log_is_asked_fails_one_reading_and_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[pipeline.Spans | Exception] = iter([ValueError("a defect"), SPANS])

    async def read_spans(_: Parts) -> pipeline.Spans:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def status(_: Parts, spans: pipeline.Spans | None) -> dict[str, Any]:
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
