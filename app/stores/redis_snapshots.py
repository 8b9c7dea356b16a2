"""A whole generation as a file, and back: for logs that were deleted since, which no rebuild could count again.

    gzip of MessagePack values, one after the other:
      header   {format, scheme, spec, stripes, savedAt, checkpoints}
      keys     [stripe, name without the stripe's prefix, what DUMP gave]
      footer   {keys: how many}

Each stripe is read in one script, so that its counters, seen sets and checkpoints are of one moment; stripes may be of
different moments, as they are when a worker resumes. That Redis is blocked meanwhile, some seconds for ten million
remembered ids, so the client has to be patient. What DUMP gives is read by a Redis of the same or a newer version.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgpack

from app.errors import ScorekeeperError, StoreUnavailable
from app.stores.generations import SCHEME, Generation, Generations, spec_key, stripe_prefix
from app.stores.redis_client import Client, as_store_errors, pattern

FORMAT: Final = 1
_BATCH: Final = 200
_MOST_BYTES: Final = 1 << 31
_DUMP: Final = """
local prefix = string.sub(KEYS[1], 1, -string.len('gen') - 1)
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  if string.sub(key, 1, string.len(prefix)) == prefix then
    found[#found + 1] = string.sub(key, string.len(prefix) + 1)
    found[#found + 1] = redis.call('DUMP', key)
  end
end
return found
"""


class InvalidSnapshot(ScorekeeperError):
    """A file that is no whole snapshot, or one of a version that this one does not read."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a snapshot says of itself. `checkpoints`: position -> the lowest next offset of its stripes."""

    spec: Mapping[bytes, bytes]
    stripes: int
    saved_at: int
    checkpoints: Mapping[str, int]


async def save(client: Client, generation: Generation, file: Path, saved_at: int) -> int:
    """Write the generation; the file is whole or is not there. Returns the number of keys.

    Raises StoreUnavailable, OSError.
    """
    with as_store_errors():
        spec = await client.hgetall(spec_key(generation.number))
    stripes: list[dict[str, bytes]] = []
    for stripe in range(generation.stripes):
        prefix = generation.prefix(stripe)
        with as_store_errors():
            flat = await client.eval(_DUMP, 1, prefix + "gen", pattern(prefix))
            names = [name.decode() for name in flat[::2]]
            stripes.append(dict(zip(names, flat[1::2], strict=True)))
        if "gen" not in stripes[-1]:
            raise StoreUnavailable("redis", f"stripe {stripe} of generation {generation.number} was emptied")
    counters = await _checkpoints(client, generation)
    header = {
        "format": FORMAT,
        "scheme": SCHEME,
        "spec": {key: value for key, value in spec.items() if key != b"finished"},
        "stripes": generation.stripes,
        "savedAt": saved_at,
        "checkpoints": counters,
    }
    partial = file.with_name(file.name + ".partial")
    written = 0
    try:
        # Its hashes' key lets whoever has it craft collisions: for its owner alone.
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600, exist_ok=False)
        with gzip.open(partial, "wb", compresslevel=5) as out:
            sink = cast(BinaryIO, out)
            sink.write(msgpack.packb(header))
            for stripe, keys in enumerate(stripes):
                for name, dumped in keys.items():
                    sink.write(msgpack.packb([stripe, name, dumped]))
                    written += 1
            sink.write(msgpack.packb({"keys": written}))
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return written


async def _checkpoints(client: Client, generation: Generation) -> dict[str, int]:
    """For people and `doctor` alone, so a moment later than the keys does no harm."""
    lowest: dict[str, int] = {}
    for stripe in range(generation.stripes):
        with as_store_errors():
            for name, offset in (await client.hgetall(generation.prefix(stripe) + "cp")).items():
                lowest[name.decode()] = min(int(offset), lowest.get(name.decode(), int(offset)))
    return lowest


def read_header(file: Path) -> Header:
    """Raises InvalidSnapshot, OSError."""
    return _header(next(_values(file), None), file)


def _header(value: object, file: Path) -> Header:
    if not isinstance(value, dict) or "format" not in value:
        raise InvalidSnapshot(f"{file} is no snapshot: give a file that `scorekeeper snapshot save` wrote")
    if value["format"] != FORMAT or value["scheme"] != SCHEME:
        raise InvalidSnapshot(
            f"{file} has format {value['format']} and key scheme {value['scheme']}, this version reads "
            f"{FORMAT} and {SCHEME}: load it with the version that saved it, then upgrade by `scorekeeper rebuild`"
        )
    return Header(value["spec"], value["stripes"], value["savedAt"], value["checkpoints"])


async def load(client: Client, file: Path) -> Generation:
    """A new generation that holds what the file holds; not shown yet. All of it, or nothing.

    Raises InvalidSnapshot, StoreUnavailable, OSError.
    """
    values = _values(file)
    header = _header(next(values, None), file)
    generations = Generations(client)
    number = await generations.claim_number()
    prefixes = [stripe_prefix(number, stripe, header.stripes) for stripe in range(header.stripes)]
    try:
        async for keys in _batches(values, file):
            with as_store_errors():
                async with client.pipeline(transaction=False) as pipe:
                    for stripe, name, dumped in keys:
                        # The records come with the specification: until then no one counts into it.
                        if name != "gen":
                            pipe.execute_command("RESTORE", prefixes[stripe] + name, 0, dumped)
                    await pipe.execute()
        with as_store_errors():
            await client.hset(spec_key(number), mapping={**header.spec, b"finished": b"1"})
        generation = await generations.get(number)
        await generations.restore_records(generation)
    except BaseException:
        with suppress(StoreUnavailable):
            await generations.drop(number)
        raise
    return generation


async def _batches(values: Iterator[Any], file: Path) -> AsyncIterator[list[Any]]:
    """The keys in handfuls; raises InvalidSnapshot at the end when the footer does not confirm them."""
    batch: list[Any] = []
    seen, footer = 0, None
    for value in values:
        if isinstance(value, dict):
            footer = value
            break
        batch.append(value)
        seen += 1
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if footer is None or footer.get("keys") != seen:
        raise InvalidSnapshot(f"{file} is not whole: it ends after {seen} keys")
    if batch:
        yield batch


def _values(file: Path) -> Iterator[Any]:
    try:
        with gzip.open(file, "rb") as stream:
            yield from msgpack.Unpacker(cast(BinaryIO, stream), max_buffer_size=_MOST_BYTES, strict_map_key=False)
    except (EOFError, gzip.BadGzipFile, msgpack.UnpackException, ValueError) as error:
        raise InvalidSnapshot(f"{file} is no whole snapshot: {error}") from error
