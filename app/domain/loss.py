"""What is told of messages that the log lost, before they could be counted or after. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.increments import Position
from app.domain.moments import rfc3339


def loss_of(position: Position, start: int, to: int, *, at: int, received_before: int | None) -> dict[str, object]:
    """Of the offsets from `start` to before `to`, noticed `at` (epoch ms).

    Goals that started before the moment `received_before` may lack them; where nobody knows it, before `at`.
    """
    return {
        "position": position.name,
        "topic": position.topic,
        "partition": position.partition,
        "from": start,
        "to": to,
        "number": to - start,
        "at": at,
        "before": at if received_before is None else received_before,
    }


def with_moments(loss: Mapping[str, object]) -> dict[str, object]:
    """The same with its moments as RFC 3339."""
    moments = {name: rfc3339(int(str(loss[name]))) for name in ("at", "before") if name in loss}
    return {**loss, **moments}
