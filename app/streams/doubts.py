"""When what is read next may be of another topic of the same name.

Kafka is asked for records by a topic's name. A topic that was deleted and created again, and has grown past what was
counted of the old one, answers as if nothing had happened; only its id tells. To ask for the id at each answer would
cost too much. Between two answers of the broker a topic can only have become another one when

- a request that was under way was answered with an error, or lost: the driver asks for new metadata then;
- or the broker had no request to refuse for a while, because this process was frozen, or did not want to read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aiokafka.protocol.fetch import FetchRequest

FETCH_WAIT_MS = 250
UNWATCHED_MS = FETCH_WAIT_MS + 50
"""Longer than a request waits for records by less than it takes to delete a topic, create it again, and fill it."""


class Doubts:
    """Watches the requests of one driver's client. Lives in the driver's thread; `number` may be read from any."""

    def __init__(self, client: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.number = 0
        """Grows with each doubt, before anything is read of which one has to doubt."""
        self._clock = clock
        self._asked_at: dict[tuple[str, int], float] = {}
        self._update, self._send = client.force_metadata_update, client.send
        client.force_metadata_update, client.send = self._force_metadata_update, self._watch_and_send

    def _force_metadata_update(self) -> Any:
        self.number += 1
        return self._update()

    def _watch_and_send(self, node_id: int, request: Any, **options: Any) -> Any:
        if isinstance(request, FetchRequest):
            self._note(request)
        return self._send(node_id, request, **options)

    def _note(self, request: FetchRequest) -> None:
        now = self._clock()
        asked = [(topic, partition) for topic, partitions in request.topics for partition, *_ in partitions]
        if any(now - self._asked_at.get(tp, now) > UNWATCHED_MS / 1000 for tp in asked):
            self.number += 1
        self._asked_at |= dict.fromkeys(asked, now)
