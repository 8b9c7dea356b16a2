"""What is fetched of all partitions before it is taken has one bound, since it is kept until then.

Private seams of aiokafka, as in `consumer.py`, and held by tests/streams/test_read_ahead.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from aiokafka.consumer.fetcher import FetchResult

READ_AHEAD_BYTES = 16 << 20
AT_A_TIME = 24
"""Partitions that share it. Where there are more, some have to wait: long runs are counted faster than short ones."""
LEAST_FETCH_BYTES = 64 << 10


def share_read_ahead(fetcher: Any, most: int) -> None:
    """From now on, ask for no more of a partition at a time than its share, and than `most` bytes; and in all for what
    is left of the bound. Call it in the fetcher's thread; may be repeated.

    Brokers fill an answer in the order in which partitions are asked for, which is another one each time. A larger
    record comes all the same.
    """
    if "_get_actions_per_node" not in vars(fetcher):
        fetcher._get_actions_per_node = partial(_get_actions, fetcher, fetcher._get_actions_per_node, most)


def _get_actions(fetcher: Any, get_actions: Any, most: int, assignment: Any) -> Any:
    share = READ_AHEAD_BYTES // max(min(len(assignment.tps), AT_A_TIME), 1)
    left = (READ_AHEAD_BYTES - _held_bytes(fetcher)) // max(len(fetcher._client.cluster.brokers()), 1)
    fetcher._max_partition_fetch_bytes = min(most, share)
    fetcher._fetch_max_bytes = max(left, LEAST_FETCH_BYTES)
    return get_actions(assignment)


def _held_bytes(fetcher: Any) -> int:
    """What nobody has taken so far; as the brokers sent it."""
    results = [result for result in fetcher._records.values() if type(result) is FetchResult and result.has_more()]
    return sum(result._partition_records._records.size_in_bytes() for result in results)
