"""`scorekeeper dead-letters`, on letters in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from app.cli import dead_letters
from app.ports import Which
from app.streams.letters import Letter
from tests.builders import LogRecord


def test_a_list_reads_no_more_letters_than_it_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read: list[str] = []

    async def letters(_: Which) -> AsyncGenerator[Letter, None]:
        for number in range(1_000):
            read.append(f"events@id/0/{number}")
            yield Letter(LogRecord(number, b"{", headers=[("scorekeeper-id", read[-1].encode())]))

    def with_parts(ask: Any) -> Any:
        return asyncio.run(ask(SimpleNamespace(letters=SimpleNamespace(read=letters))))

    monkeypatch.setattr(dead_letters, "with_parts", with_parts)
    dead_letters.list_letters(limit=2, as_json=True)
    assert [letter["id"] for letter in json.loads(capsys.readouterr().out)] == read
    assert len(read) == 2
