"""What everybody but Scorekeeper counts with: the benchmark's ten definitions, written by hand as their users would."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

SHOP = "https://shop.example/shop/"
RULES = {
    f"t{kind}": [(f"{SHOP}{number}/", number % 2 == 1, number) for number in range(10) if number % 5 == kind]
    for kind in range(5)
}


def setting(name: str) -> str:
    return os.environ[f"BENCH_{name}"]


def keys_of(event: dict[str, Any]) -> list[str]:
    """The counters that an event moves."""
    url, data = event["url"], event["data"]
    return [
        f"{event['projectKey']}:{number}"
        for prefix, wants_pro, number in RULES.get(event["type"], ())
        if url.startswith(prefix) and (data["plan"] == "pro" if wants_pro else data["amount"] >= 50)
    ]


def count_values(values: Iterable[bytes], *, stop_after_decoding: bool = False) -> Counter[str]:
    """Decode, match and count messages; what is no JSON is left out."""
    counts: Counter[str] = Counter()
    for value in values:
        try:
            event = msgspec.json.decode(value)
        except msgspec.DecodeError:
            continue
        if stop_after_decoding:
            continue
        for key in keys_of(event):
            counts[key] += 1
    return counts


def write(pipe: Any, counts: Counter[str], done: int) -> None:
    """Fill a pipeline. `done` tells the benchmark how far a floor has come, which counts nothing."""
    for key, number in counts.items():
        pipe.incrby(key, number)
    if "BENCH_FLOOR" in os.environ:
        pipe.incrby("done", done)
