"""Serves the HTTP API: `python -m api`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

from api.bodies import abandoned_ms
from api.main import create_app
from api.readiness import Readiness
from api.services import Services
from api.serving import make_server
from app.bootstrap import Parts, PipelineReader, load_settings, make_tracer, parsing_rules
from app.bootstrap.collecting import collect_what_requests_leave
from app.errors import ScorekeeperError
from app.stores.redis_limits import TokenBuckets
from app.stores.sql_answers import SqlAnswers
from app.streams.log import Log
from app.streams.recent import RecentEvents
from app.streams.security import aiokafka_security
from app.streams.sending import EventSender
from config.logging import set_up
from config.settings import Settings

PATIENCE_SECONDS = 1.0
"""How long a store may take before it counts as away: a request asks several, and answers within two seconds."""

SWITCH_SECONDS = 0.0001
"""Threads read SQL beside the event loop, and each time it has waited it gets its turn back only after so long: with
the usual 5 ms, several times a request, a reading of thousands of rows is felt in every answer."""


def build_services(parts: Parts) -> Services:
    """Everything the HTTP layer needs, not connected."""
    settings = parts.settings
    security = aiokafka_security(parts.kafka)
    rules = parsing_rules(settings)
    events, ends = Log(parts.kafka.bootstrap, security), parts.topics.kept_ends()
    sender = EventSender(parts.kafka.bootstrap, settings.topics[0], security)
    limits = {
        "reads": settings.reads_per_minute,
        "writes": settings.writes_per_minute,
        "events": settings.events_per_minute,
        "page_reads": settings.page_reads_per_minute,
    }
    readiness = Readiness(
        {
            "redis": lambda: parts.redis.ping(),
            "database": lambda: asyncio.to_thread(parts.definitions.revision),
            "kafka": lambda: asyncio.to_thread(parts.topics.describe, settings.topics),
        }
    )
    tracer = make_tracer(settings.traces, "api")
    beside: list[asyncio.Task[None]] = []

    async def start() -> None:
        alerting = parts.alerting
        works = (parts.status_recorder.keep_recording(), alerting.keep_looking(), alerting.keep_sending())
        beside.extend(asyncio.create_task(work) for work in works)

    async def stop() -> None:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await asyncio.to_thread(ends.close)
        await sender.close()
        await parts.close()
        if tracer is not None:
            await asyncio.to_thread(tracer.close)

    return Services(
        definitions=parts.definitions,
        defining=parts.defining,
        reporter=parts.reporter,
        experiments=parts.experiments,
        alerts=parts.alerts,
        keys=parts.keys,
        publisher=sender,
        recent=RecentEvents(parts.topics, ends.of, events, settings.topics, rules, parts.landmarks.of),
        answers=SqlAnswers(parts.database, abandoned_ms=abandoned_ms(settings.live_timeout_seconds)),
        limits=TokenBuckets(parts.redis, limits),
        audit=parts.definitions.audit,
        now=lambda: int(time.time() * 1000),
        check=readiness.check,
        pipeline=PipelineReader(parts).read,
        dead_letters=parts.letters,
        generations=parts.generations,
        parsing=rules,
        cors_origins=settings.allowed_origins,
        failed_keys_per_minute=settings.failed_keys_per_minute,
        write_seconds=settings.live_timeout_seconds,
        tracer=tracer,
        start=start,
        stop=stop,
    )


def serve(settings: Settings) -> int:
    """Block until it is asked to end; the exit code."""
    sys.setswitchinterval(SWITCH_SECONDS)
    parts = Parts(settings, "api", patience_seconds=PATIENCE_SECONDS)
    app = create_app(build_services(parts))
    server = make_server(app, settings, app.state.end_soon)
    collect_what_requests_leave()
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else 1


def main() -> int:
    try:
        settings = load_settings()
        set_up(settings)
        return serve(settings)
    except ScorekeeperError as error:
        sys.stderr.write(f"scorekeeper api: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
