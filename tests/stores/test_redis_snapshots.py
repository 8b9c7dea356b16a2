"""Snapshots of a generation: whole or not at all, and of a version that we read."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgpack
import pytest

from app.domain.beginning import Beginning
from app.domain.parsing import ParsingRules
from app.errors import OtherScheme
from app.stores.generations import Generations, new_rules, spec_key
from app.stores.redis_client import connect
from app.stores.redis_snapshots import InvalidSnapshot, load, read_header, save

KEYS = 450


async def saved(client: Any, file: Path) -> dict[str, Any]:
    """A generation of two stripes with some keys, saved; what it holds by name."""
    generations = Generations(client)
    generation = await generations.ensure_active(new_rules(ParsingRules(), window_ms=1000, stripes=2), 5)
    for number in range(KEYS):
        await client.hset(generation.prefix(number % 2) + f"g:{number}", "n", number)
    await client.sadd(generation.prefix(0) + "s:d:1:0", *range(100))
    await client.hset(generation.prefix(0) + "cp", "events:0:x", 7)
    await save(client, generation, file, 9)
    return await contents(client, generation.number)


async def contents(client: Any, number: int) -> dict[str, Any]:
    found = {}
    async for key in client.scan_iter(match=f"{{sk:{number}:*"):
        name = key.decode().partition(":")[2].partition(":")[2]
        found[name] = await client.dump(key)
    return found


@pytest.fixture
async def client(redis_url: str) -> Any:
    made = connect(redis_url, name="test", timeout_seconds=60.0)
    yield made
    await made.aclose()


async def test_what_is_loaded_is_what_was_saved(client: Any, tmp_path: Path) -> None:
    file = tmp_path / "counters.snapshot"
    # What somebody left there, open for all to read, is not written into.
    file.with_name(file.name + ".partial").touch(mode=0o666)
    before = await saved(client, file)
    assert file.stat().st_mode & 0o077 == 0
    assert read_header(file).checkpoints == {"events:0:x": 7}
    await client.flushall()
    generation = await load(client, file)
    assert await contents(client, generation.number) == before
    again = await load(client, file)
    assert again.number != generation.number
    assert await Generations(client).unfinished() is None


async def test_where_a_generation_begins_is_saved_with_it(client: Any, tmp_path: Path) -> None:
    """Of a position at which nothing was counted yet, too."""
    file, generations = tmp_path / "counters.snapshot", Generations(client)
    beginning = Beginning(5_000, {"events:0:x": 40, "events:1:x": 50}, left_out_up_to=4_999)
    generation = await generations.create(new_rules(ParsingRules(), window_ms=1000, stripes=2), 5, beginning)
    await client.hset(generation.prefix(0) + "cp", "events:0:x", 60)
    await save(client, generation, file, 9)
    await client.flushall()
    loaded = await load(client, file)
    assert (await generations.get(loaded.number)).beginning == beginning
    found = [await client.hgetall(loaded.prefix(stripe) + "cp") for stripe in range(2)]
    assert found == [{b"events:0:x": b"60", b"events:1:x": b"50"}, {b"events:0:x": b"40", b"events:1:x": b"50"}]


@pytest.mark.parametrize("cut", [40, 0.5, 0.99])
async def test_a_file_that_is_not_whole_leaves_nothing_behind(client: Any, tmp_path: Path, cut: float) -> None:
    file = tmp_path / "counters.snapshot"
    await saved(client, file)
    await client.flushall()
    whole = file.read_bytes()
    file.write_bytes(whole[: int(cut if cut > 1 else cut * len(whole))])
    with pytest.raises(InvalidSnapshot):
        await load(client, file)
    assert {key.decode() async for key in client.scan_iter()} <= {"sk:generations"}


async def test_keys_that_are_missing_in_the_file_are_noticed(client: Any, tmp_path: Path) -> None:
    file = tmp_path / "counters.snapshot"
    await saved(client, file)
    with gzip.open(file) as stream:
        values = list(msgpack.Unpacker(stream, strict_map_key=False))
    with gzip.open(file, "wb") as out:
        for value in (*values[:5], *values[6:]):
            out.write(msgpack.packb(value))
    with pytest.raises(InvalidSnapshot, match="not whole"):
        await load(client, file)


@pytest.mark.parametrize(
    "content", [b"", b"counters", gzip.compress(b"\x01", mtime=0), gzip.compress(b"\xc1", mtime=0)]
)
async def test_another_file_is_no_snapshot(client: Any, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other"
    file.write_bytes(content)
    with pytest.raises(InvalidSnapshot):
        await load(client, file)


async def test_a_newer_format_is_refused_with_what_to_do(client: Any, tmp_path: Path) -> None:
    file = tmp_path / "newer"
    file.write_bytes(gzip.compress(msgpack.packb({"format": 2, "scheme": 9})))
    with pytest.raises(InvalidSnapshot, match="load it with the version that saved it"):
        await load(client, file)


async def test_another_versions_generation_is_refused_and_can_still_be_dropped(client: Any) -> None:
    generations = Generations(client)
    old = await generations.ensure_active(new_rules(ParsingRules(), window_ms=1000, stripes=1), 5)
    await client.hset(spec_key(old.number), "scheme", 99)
    with pytest.raises(OtherScheme, match="scorekeeper rebuild"):
        await generations.active()
    assert await generations.unfinished() is None
    beside = await generations.create(new_rules(ParsingRules(), window_ms=1000, stripes=1), 6)
    await generations.switch(beside.number)
    assert (await generations.active()).number == beside.number
    await generations.drop(old.number)
    assert await generations.numbers() == [beside.number]
