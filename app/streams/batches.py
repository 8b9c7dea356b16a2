"""What flows through Faust here: one message per run of records of one partition, handed on undecoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import faust
from faust.types import TP

from app.domain.folding import Record


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Everything that the log holds of a partition from `start` to below `next_offset`."""

    tp: TP
    start: int
    next_offset: int
    records: Sequence[Record]
    seeks: int
    """How often this partition had been sought when the batch was read; an older batch is not looked at."""


class Undecoded(faust.Schema[Any, Any]):
    """A schema that hands the value on as it is: an undecodable value would end the agent."""

    def loads_key(self, app: Any, message: Any, **options: Any) -> Any:
        del app, message, options

    def loads_value(self, app: Any, message: Any, **options: Any) -> Any:
        del app, options
        return message.value
