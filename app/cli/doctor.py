"""`scorekeeper doctor`: everything that a deployment needs, checked; what is wrong is told with what to do about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import typer

from app.cli.asking import with_parts
from app.cli.printing import AsJson, counted, print_json, print_line, print_table
from app.cli.topics import missing
from app.domain.conversion_goal import FOREVER
from app.errors import NotFound, ScorekeeperError
from config.settings import DAY_MS

if TYPE_CHECKING:
    from app.bootstrap import Parts

CHECK_SECONDS: Final = 15.0
Verdict = Literal["good", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` says what to do; empty when all is good."""

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""


def doctor(as_json: AsJson = False) -> None:
    """Check every dependency and setting that a deployment needs. Exit code 1 when something is bad."""
    findings = with_parts(examine)
    if as_json:
        print_json(
            [
                {"subject": one.subject, "verdict": one.verdict, "found": one.found, "remedy": one.remedy}
                for one in findings
            ]
        )
    else:
        print_table(
            ("verdict", "subject", "found", "what to do"),
            ((one.verdict, one.subject, one.found, one.remedy) for one in findings),
            empty="",
        )
    bad = sum(one.verdict == "bad" for one in findings)
    if bad:
        if not as_json:
            print_line(f"{counted(bad, 'thing')} must be put right")
        raise typer.Exit(1)


async def examine(parts: Parts) -> list[Finding]:
    """All findings, in the order in which they should be put right."""
    groups: tuple[tuple[str, Callable[[Parts], Awaitable[list[Finding]]], str], ...] = (
        ("database", _database, "Start it, or correct SCOREKEEPER_DATABASE."),
        ("Redis", _redis, "Start it, or correct SCOREKEEPER_REDIS."),
        ("Kafka", _kafka, "Start it, or correct SCOREKEEPER_KAFKA, SCOREKEEPER_KAFKA_SASL_USERNAME and _PASSWORD."),
        ("workers", _workers, "Look at the workers' logs."),
    )
    found: list[Finding] = []
    for subject, look, remedy in groups:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                found += await look(parts)
        except ScorekeeperError as error:
            found.append(Finding(subject, "bad", str(error), remedy))
        except TimeoutError:
            found.append(Finding(subject, "bad", f"no answer within {CHECK_SECONDS:.0f} s", remedy))
    return found


async def _database(parts: Parts) -> list[Finding]:
    pending = await asyncio.to_thread(parts.database.pending_migrations)
    if pending:
        said = f"{counted(pending, 'migration')} missing" if pending > 0 else "migrated by a newer version"
        return [Finding("database", "bad", said, "Run `scorekeeper migrate`, with the newest version.")]
    _, clock = await asyncio.to_thread(parts.definitions.revision)
    project = await asyncio.to_thread(lambda: list(judge_default_project(parts)))
    return [Finding("database", "good", "migrated"), judge_clock("the database's clock", clock / 1000, parts), *project]


def judge_default_project(parts: Parts) -> Iterator[Finding]:
    """Whether the project of events that name none is there; nothing where none is set. Blocking."""
    key = parts.settings.default_project
    if key is None:
        return
    try:
        parts.definitions.project(key)
    except NotFound as error:
        remedy = (
            "Correct SCOREKEEPER_DEFAULT_PROJECT, or run `scorekeeper projects create`: events that name no project "
            "become dead letters."
        )
        yield Finding("default project", "bad", str(error), remedy)
    else:
        yield Finding("default project", "good", key)


async def _redis(parts: Parts) -> list[Finding]:
    from app.stores.redis_client import as_store_errors, ask_every_server

    with as_store_errors():
        servers: list[dict[str, Any]] = await ask_every_server(parts.redis, "INFO")
        clocks = await ask_every_server(parts.redis, "TIME")
    findings: list[Finding] = []
    for number, (about, (seconds, microseconds)) in enumerate(zip(servers, clocks, strict=True), 1):
        name = "Redis" if len(servers) == 1 else f"Redis, shard {number} of {len(servers)}"
        findings += [
            Finding(name, "good", f"version {about.get('redis_version', 'unknown')}"),
            *judge_redis(about),
            judge_clock("Redis's clock", seconds + microseconds / 1e6, parts),
        ]
    return findings


def judge_redis(about: dict[str, Any]) -> Iterator[Finding]:
    """What INFO tells of how safe the counters are."""
    policy = str(about.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        yield Finding("Redis keeps its keys", "good", policy)
    else:
        remedy = "Set maxmemory-policy to noeviction, or counts are lost when it is full."
        yield Finding("Redis keeps its keys", "bad", policy, remedy)
    if about.get("aof_enabled"):
        yield Finding("Redis writes to disk", "good", "append-only file")
    else:
        remedy = "Set appendonly yes: without it, a restart counts again what it forgot."
        yield Finding("Redis writes to disk", "warning", "at most snapshots", remedy)
    most, used = int(about.get("maxmemory", 0)), int(about.get("used_memory", 0))
    if most and used > 0.8 * most:
        yield Finding("Redis memory", "warning", f"{used * 100 // most}% of maxmemory", "Give it more.")


async def _kafka(parts: Parts) -> list[Finding]:
    return await asyncio.to_thread(lambda: list(_topics(parts)))


def _topics(parts: Parts) -> Iterator[Finding]:
    settings = parts.settings
    oldest = _oldest_definition(parts)
    absent = missing(parts.topics, [*settings.topics, *settings.own_topics])
    for name in (*settings.topics, *settings.own_topics):
        if name in absent:
            yield Finding(f"topic {name}", "bad", "it does not exist", "Run `scorekeeper topics create`.")
            continue
        description = parts.topics.describe([name])[0]
        yield Finding(f"topic {name}", "good", counted(description.partitions, "partition"))
        if name in settings.topics:
            config = dict(parts.topics.config(name))
            yield from judge_topic(parts, name, config)
            yield from judge_replay(name, config, oldest, int(time.time() * 1000))


def _oldest_definition(parts: Parts) -> int | None:
    """Since when something is counted; None when nothing is, or the database does not tell (it is a finding itself)."""
    with suppress(ScorekeeperError):
        present = [version for version in parts.definitions.history().versions if version.effective_until == FOREVER]
        return min((version.created_at for version in present), default=None)
    return None


def judge_replay(name: str, config: dict[str, str], oldest: int | None, now: int) -> Iterator[Finding]:
    """Whether a rebuild could give back all that is shown; what the broker does not tell is left out."""
    subject = f"topic {name}: what a rebuild gives back"
    if config.get("cleanup.policy", "delete") != "delete":
        remedy = "Set cleanup.policy=delete: compaction removes events that were counted."
        yield Finding(subject, "bad", f"cleanup.policy is {config['cleanup.policy']}", remedy)
    if int(config.get("retention.bytes", -1)) >= 0:
        remedy = "Set retention.bytes=-1: a busy day would delete what a rebuild needs."
        yield Finding(subject, "warning", f"the log is kept to {config['retention.bytes']} bytes", remedy)
    retention_ms = int(config.get("retention.ms", -1))
    if oldest is None or retention_ms < 0:
        return
    if oldest < now - retention_ms:
        remedy = "Run `scorekeeper snapshot save` regularly, more often than the retention, and keep the files."
        said = f"the last {retention_ms / DAY_MS:g} days of {(now - oldest) / DAY_MS:.0f} that goals show"
        yield Finding(subject, "warning", said, remedy)
    else:
        yield Finding(subject, "good", "everything since the oldest definition")


def judge_topic(parts: Parts, name: str, config: dict[str, str]) -> Iterator[Finding]:
    """What a topic's settings mean for the counts; what the broker does not tell is left out."""
    stamp = config.get("message.timestamp.type")
    if stamp == "LogAppendTime":
        yield Finding(f"topic {name}: time stamps", "good", "the broker's")
    elif stamp is not None:
        remedy = "A producer's wrong clock moves what counts when. Set message.timestamp.type=LogAppendTime."
        yield Finding(f"topic {name}: time stamps", "warning", "the producers'", remedy)
    window_days = max(parts.settings.max_event_age_days, parts.settings.deduplication_window_days)
    retention_ms = int(config.get("retention.ms", -1))
    if 0 <= retention_ms < window_days * DAY_MS:
        remedy = f"Below {window_days:g} days, a rebuild cannot read all that late events and duplicates refer to."
        yield Finding(f"topic {name}: retention", "warning", f"{retention_ms / DAY_MS:g} days", remedy)
    elif retention_ms >= 0:
        yield Finding(f"topic {name}: retention", "good", f"{retention_ms / DAY_MS:g} days")


async def _workers(parts: Parts) -> list[Finding]:
    workers = await parts.signals.workers()
    revision, _ = await asyncio.to_thread(parts.definitions.revision)
    live = {name: report for name, report in workers.items() if report["alive"]}
    return [judge_workers(live, revision, set(parts.settings.topics))]


def judge_workers(live: Mapping[str, Mapping[str, Any]], revision: int, topics: set[str]) -> Finding:
    """Of those that live, by their reports; `topics` are those that are set here."""
    if not live:
        return Finding("workers", "bad", "none is alive", "Start `scorekeeper worker`.")
    late = [name for name, report in live.items() if report["revision"] < revision]
    if late:
        said = f"{', '.join(late)} behind catalog revision {revision}"
        return Finding("workers", "warning", said, "Look whether they reach the database.")
    others = [name for name, report in live.items() if set(report.get("topics", topics)) != topics]
    if others:
        said = f"{', '.join(others)} set to read other topics than {', '.join(sorted(topics))}"
        remedy = "Give all the same SCOREKEEPER_TOPIC: freshness waits for every topic that one of them names."
        return Finding("workers", "warning", said, remedy)
    return Finding("workers", "good", f"{len(live)} alive, at catalog revision {revision}")


def judge_clock(subject: str, its_seconds: float, parts: Parts) -> Finding:
    """How far a server's clock (Unix seconds) is from ours."""
    apart = its_seconds - time.time()
    # Adding zero: nobody is behind by -0.0 s.
    said = f"{round(apart, 1) + 0.0:+.1f} s from this machine's"
    if abs(apart) <= parts.settings.clock_allowance_seconds:
        return Finding(subject, "good", said)
    remedy = "Synchronise the clocks (NTP), or raise SCOREKEEPER_CLOCK_ALLOWANCE_SECONDS."
    return Finding(subject, "warning", said, remedy)
