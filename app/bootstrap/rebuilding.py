"""Wires a rebuild."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from app.bootstrap.accounting import fates_by_project
from app.bootstrap.collecting import freeze_what_is_loaded
from app.bootstrap.parts import Parts, folding_rules
from app.domain.beginning import Beginning
from app.domain.folding_rules import FoldingRules
from app.domain.increments import Position
from app.domain.moments import rfc3339
from app.domain.witness import Witness
from app.errors import Conflict, GenerationMissing, OtherScheme
from app.rebuilding import LettersAhead, Rebuild, require_topics
from app.refreshing import CatalogRefresher
from app.stores.generations import Generation
from app.stores.redis import RedisCounters
from app.stores.redis_outbox import RedisOutbox
from app.tracking import OpenedGeneration
from config.settings import DAY_MS


def _now() -> int:
    return int(time.time() * 1000)


async def make_rebuild(parts: Parts, since: int | None = None) -> tuple[int, Rebuild]:
    """The number of the generation that a rebuild left unfinished, or of a new one; and what counts into it.

    `since` (epoch ms): what came before is left out. Raises Conflict when an unfinished one was begun with another such
    moment, or with other settings than those of now, or has counted of a topic that is gone.
    """
    generations, rules = parts.generations, folding_rules(parts.settings, await _loads(parts))
    generation = await generations.unfinished()
    if generation is None:
        generation = await generations.create(rules, _now(), await _find_beginning(parts, since))
    _require_the_same_beginning(generation, since)
    _require_settings_of_now(generation, rules)
    store, number = RedisCounters(parts.redis, generation), generation.number
    stripes, present = await store.snapshot(["cp"]), await parts.spans()
    for stripe in stripes:
        require_topics(number, stripe["cp"], present)
    opened = OpenedGeneration(store, generation.rules)
    if parts.settings.receipt_topic is not None:
        outbox = RedisOutbox(parts.redis, generation)
        opened = OpenedGeneration(store, generation.rules, outbox, await _counted_live(parts, list(present)))
    catalog = CatalogRefresher(parts.definitions)
    await catalog.refresh()
    freeze_what_is_loaded()
    letters = LettersAhead(parts.dead_letters, partial(_counted_live_at, parts))
    note_counting = partial(generations.note_counting, number)
    witnesses = _LogWitnesses(parts)
    return number, Rebuild(
        number, store, opened, catalog, letters, parts.log, witnesses, parts.spans, note_counting, _now
    )


@dataclass(frozen=True, slots=True)
class _LogWitnesses:
    """Implements LogWitnesses: a connection for all of a question."""

    parts: Parts

    async def last_below(self, ends: Mapping[Position, int]) -> Mapping[Position, Witness | None]:
        def look() -> Mapping[Position, Witness | None]:
            with self.parts.topics.kept_records() as records:
                return {position: records.last_below(position, end) for position, end in ends.items()}

        return await asyncio.to_thread(look)

    async def find_cuts(self, counted: Sequence[tuple[Position, int, Witness]]) -> Sequence[int | None]:
        def look() -> Sequence[int | None]:
            with self.parts.topics.kept_records() as records:
                return [records.find_cut(position, at, witness) for position, at, witness in counted]

        return await asyncio.to_thread(look)


async def _loads(parts: Parts) -> dict[str, int]:
    """Project -> how many of its events the generation that is shown has counted. Another version's cannot be read."""
    projects = [project.key for project in await asyncio.to_thread(parts.definitions.projects)]
    try:
        stripes = await (await parts.counters()).snapshot([f"p:{key}" for key in projects])
    except (GenerationMissing, OtherScheme):
        stripes = []
    return {key: int(fates["counted"]) for key, fates in fates_by_project(stripes, projects).items()}


async def _find_beginning(parts: Parts, since: int | None) -> Beginning:
    # Kafka's clients are imported by who needs them, see Parts.
    from app.streams.beginnings import find_beginning, find_whole_log

    spans = await parts.spans()
    if since is None:
        return await find_whole_log(parts.log, spans, _now())
    return await find_beginning(parts.topics, parts.log, list(spans), since, _now())


def _require_the_same_beginning(generation: Generation, since: int | None) -> None:
    before = generation.beginning.since
    if before == since:
        return
    number = generation.number
    remedy = "leave --since out" if before is None else f"give --since {rfc3339(before)}"
    raise Conflict(
        f"an unfinished rebuild, generation {number}, was begun {_in_words(before)}, and is now asked for "
        f"{_in_words(since)}: run `scorekeeper generations drop {number}` and rebuild again to begin anew, or "
        f"{remedy}, and it goes on"
    )


def _in_words(since: int | None) -> str:
    return "without --since" if since is None else f"with --since {rfc3339(since)}"


def _require_settings_of_now(generation: Generation, now: FoldingRules) -> None:
    changed = [
        f"SCOREKEEPER_{name.upper()}, which was {then} and is {value}"
        for (name, then), value in zip(_settings(generation.rules).items(), _settings(now).values(), strict=True)
        if then != value
    ]
    if changed:
        number = generation.number
        raise Conflict(
            f"an unfinished rebuild, generation {number}, was begun with another {' and '.join(changed)}: run "
            f"`scorekeeper generations drop {number}` and rebuild again to count with the settings of now, or set them "
            "back, and it goes on"
        )


def _settings(rules: FoldingRules) -> dict[str, object]:
    """The settings that rules were made of, see folding_rules."""
    return {
        "default_project": rules.parsing.default_project or "unset",
        "max_event_age_days": rules.parsing.max_age_ms / DAY_MS,
        "max_event_ahead_seconds": rules.parsing.max_ahead_ms / 1000,
        "deduplication_window_days": rules.window_ms / DAY_MS,
        "stripes": rules.stripes,
    }


async def _counted_live(parts: Parts, positions: Sequence[Position]) -> dict[Position, int]:
    """Up to where the generation that is shown has counted, and left receipts. What it counts from now on is not known
    when the new one takes its place, so that the new one leaves receipts of that too: of one conversion the same.

    How far another version's has come cannot be read: the new one leaves receipts of everything then."""
    try:
        found = await (await parts.counters()).checkpoints(positions)
    except (GenerationMissing, OtherScheme):
        return {}
    return {position: min(own) for position, own in zip(positions, found, strict=True)}


async def _counted_live_at(parts: Parts, position: Position) -> int:
    return (await _counted_live(parts, [position])).get(position, 0)
