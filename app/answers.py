"""What readers are answered, and what they were answered last, for when a store is away."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from operator import is_
from typing import Any

from app.errors import StoreUnavailable

log = logging.getLogger(__name__)

_KEPT_ANSWERS = 1_000


@dataclass(frozen=True, slots=True)
class Report:
    """An answer as JSON-ready values, and how old it is."""

    items: Sequence[dict[str, Any]]
    fresh_as_of: int | None
    is_stale: bool = False
    is_rebuilding: bool = False
    generation: int | None = None
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What was made of it already, for all who share it."""


class KnownAnswers:
    """The last answer to each question, of those that were asked last."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, ...], Report] = OrderedDict()

    async def or_stale(self, question: tuple[str, ...], asked: Awaitable[Report]) -> Report:
        """What was asked; when a store is away, the last known answer to this question, marked stale. Raises
        StoreUnavailable when there is none."""
        try:
            report = await asked
        except StoreUnavailable as error:
            known = self._known.get(question)
            if known is None:
                raise
            log.warning("shown as it was last known: %s", error)
            return _as_stale(known)
        return self._keep(question, report)

    def _keep(self, question: tuple[str, ...], report: Report) -> Report:
        report = _as_known(self._known.get(question), report)
        self._known[question] = report
        self._known.move_to_end(question)
        while len(self._known) > _KEPT_ANSWERS:
            self._known.popitem(last=False)
        return report


def _as_stale(known: Report) -> Report:
    if "stale" not in known.memo:
        items = [{**item, "stale": True} for item in known.items]
        known.memo["stale"] = replace(known, items=items, is_stale=True, memo={})
    stale: Report = known.memo["stale"]
    return stale


def _as_known(known: Report | None, report: Report) -> Report:
    """The report; the last one, with all that was written of it, where that says the same."""
    if known is None or known is report or len(known.items) != len(report.items):
        return report
    if not all(map(is_, known.items, report.items)):
        return report
    return known if replace(known, items=report.items) == report else report
