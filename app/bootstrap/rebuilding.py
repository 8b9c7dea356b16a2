"""Wires a rebuild."""

from __future__ import annotations

import time

from app.bootstrap.collecting import freeze_what_is_loaded
from app.bootstrap.parts import Parts, folding_rules
from app.domain.increments import Position
from app.errors import GenerationMissing, OtherScheme
from app.rebuilding import Rebuild
from app.refreshing import CatalogRefresher
from app.stores.redis import RedisCounters
from app.stores.redis_outbox import RedisOutbox
from app.tracking import Counting


def _now() -> int:
    return int(time.time() * 1000)


async def make_rebuild(parts: Parts) -> tuple[int, Rebuild]:
    """The number of the generation that a rebuild left unfinished, or of a new one; and what counts into it."""
    generations = parts.generations
    generation = await generations.unfinished()
    if generation is None:
        generation = await generations.create(folding_rules(parts.settings), _now())
    store = RedisCounters(parts.redis, generation)
    counting = Counting(store, generation.rules)
    if parts.settings.receipt_topic is not None:
        outbox = RedisOutbox(parts.redis, generation)
        counting = Counting(store, generation.rules, outbox, await _counted_live(parts))
    catalog = CatalogRefresher(parts.definitions)
    await catalog.refresh()
    freeze_what_is_loaded()
    number = generation.number
    rebuild = Rebuild(
        store, counting, catalog, parts.log, parts.spans, lambda now: generations.note_counting(number, now), _now
    )
    return number, rebuild


async def _counted_live(parts: Parts) -> dict[Position, int]:
    """Up to where the generation that is shown has counted, and left receipts. What it counts from now on is not known
    when the new one takes its place, so that the new one leaves receipts of that too: of one conversion the same.

    How far another version's has come cannot be read: the new one leaves receipts of everything then."""
    positions = list(await parts.spans())
    try:
        found = await (await parts.counters()).checkpoints(positions)
    except (GenerationMissing, OtherScheme):
        return {}
    return {position: min(own) for position, own in zip(positions, found, strict=True)}
