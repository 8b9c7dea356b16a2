"""`scorekeeper up`: everything on this machine. Broker, Redis and database unless the settings name real ones."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.cli.credentials import key_of
from app.cli.parts import require_our_scheme
from app.cli.printing import counted, fail, print_line, tell
from app.cli.supervisor import OurProcess, Part, Supervisor
from app.cli.topics import create_missing
from app.embedded.ports import LOOPBACK, HeldPort
from app.embedded.running import DirectoryLock, Running, write_privately, write_record
from app.errors import EmbeddedUnavailable, OtherScheme, ScorekeeperError, StoreUnavailable
from config.settings import LAST_PORT

if TYPE_CHECKING:
    from app.bootstrap import Parts
    from config.settings import Settings

READY_SECONDS: Final = 120.0
FRESH_SECONDS: Final = 5.0
WATCH_SECONDS: Final = 0.2
LONG_LOG_BYTES: Final = 10 * 1024 * 1024
EMBEDDED_SESSION_SECONDS: Final = "3"
"""The embedded broker lets a group wait as long as its session timeout, so it is kept short."""


def up(
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=LAST_PORT, help="The port of the HTTP API; 0 takes a free one.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Where everything embedded lives.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="With a make-believe shop whose goals move.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="How many workers count.")] = 1,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="Is written, as JSON, when it serves.")
    ] = None,
) -> None:
    """Run everything on this machine, until Ctrl-C: broker, Redis, database, API and workers.

    Settings that name a real Kafka, Redis or database are used in place of the embedded one. Prints `ready URL` when it
    serves.
    """
    from app.bootstrap import load_settings

    if ready_file is not None and not ready_file.absolute().parent.is_dir():
        fail(f"--ready-file {ready_file}: there is no folder {ready_file.parent}: make it, or name another file", 2)
    settings = load_settings({"port": port, "data_dir": data_dir})
    settings = settings.model_copy(update={"data_dir": settings.data_dir.resolve()})
    lock = DirectoryLock(settings.data_dir)
    house = House(settings, workers=workers, demo=demo, ready_file=ready_file)
    try:
        with suppress(asyncio.CancelledError, KeyboardInterrupt):
            asyncio.run(house.run())
    finally:
        # Whatever was asked for again meanwhile: what was started is ended.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        house.close()
        lock.release()


class House:
    """All that `up` runs, from its start to its end."""

    def __init__(self, settings: Settings, *, workers: int, demo: bool, ready_file: Path | None) -> None:
        self._settings = settings
        self._workers = workers
        self._demo = demo
        self._ready_file = ready_file
        self._is_announced = False
        self._supervisor = Supervisor(tell)
        self._addresses: dict[str, str] = {}
        self._held: list[HeldPort] = []
        self._assigned_at: float | None = None

    async def run(self) -> None:
        """Start everything, then keep it alive until cancelled."""
        from app.bootstrap import Parts

        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel if task else sys.exit)
        begun = time.monotonic()
        self._put_long_logs_aside()
        self._start_servers()
        async with Parts(self._settings, "up") as parts:
            await asyncio.to_thread(self._migrate, parts)
            await self._require_our_scheme(parts)
            self._write_record()
            await self._create_topics(parts)
            self._start_ours()
            project, key = await self._prepare_project(parts)
            await self._wait_until_ready(parts)
            self._announce(project, key, time.monotonic() - begun)
            await self._stay(parts, project)

    def close(self) -> None:
        """End every process that was started."""
        if self._supervisor.is_busy:
            tell("ending")
        self._supervisor.stop()
        for held in self._held:
            held.release()
        # Until then the file may be another one's, who still runs.
        if self._is_announced:
            self._remove_ready_file()

    # -- starting

    def _put_long_logs_aside(self) -> None:
        """Each log is one file of this run and earlier ones, and one of what went before."""
        for log in (self._settings.data_dir / "log").glob("*.log"):
            if log.stat().st_size > LONG_LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))

    def _start_servers(self) -> None:
        from app.bootstrap import require_certificate
        from app.embedded.broker import start_broker
        from app.embedded.redis import start_redis

        settings, home = self._settings, self._settings.data_dir
        port = self._hold(settings.port, settings.host)
        require_certificate(settings)
        # Of one that was killed: whoever waits for the file would read of processes that are gone.
        self._remove_ready_file()
        found: dict[str, object] = {"port": port}
        if settings.kafka is None:
            tell("starting the embedded broker")
            broker_port = self._hold()
            self._supervisor.keep("the embedded broker", lambda: start_broker(home, broker_port))
            found["kafka"] = self._addresses["SCOREKEEPER_KAFKA"] = f"127.0.0.1:{broker_port}"
            if "session_timeout_seconds" not in settings.model_fields_set:
                self._addresses["SCOREKEEPER_SESSION_TIMEOUT_SECONDS"] = EMBEDDED_SESSION_SECONDS
        if settings.redis is None:
            tell("starting the embedded Redis")
            redis_port = self._hold()
            self._supervisor.keep("the embedded Redis", lambda: start_redis(home, redis_port))
            found["redis"] = self._addresses["SCOREKEEPER_REDIS"] = f"redis://127.0.0.1:{redis_port}/0"
        self._addresses["SCOREKEEPER_PORT"] = str(port)
        self._addresses["SCOREKEEPER_DATA_DIR"] = str(home)
        self._settings = settings.__class__(**{**settings.model_dump(exclude_unset=True), **found})

    def _hold(self, port: int = 0, host: str = LOOPBACK) -> int:
        """Nobody else is given the port while this runs: its server starts seconds later, and again after its death."""
        held = HeldPort(port, host)
        self._held.append(held)
        return held.number

    def _migrate(self, parts: Parts) -> None:
        """Bring the schema of a server to this version's: whoever says `up` wants it to run."""
        if self._settings.database is not None and parts.database.pending_migrations() > 0:
            tell("bringing the database's schema to this version's")
            parts.database.migrate()
        parts.require_schema()

    async def _require_our_scheme(self, parts: Parts) -> None:
        try:
            await require_our_scheme(parts)
        except OtherScheme as error:
            if "SCOREKEEPER_REDIS" not in self._addresses:
                raise
            home = self._settings.data_dir
            raise EmbeddedUnavailable(
                f"the counters in {home / 'redis'} are another version's (key scheme {error.scheme}): start them with "
                "that version, take another --data-dir, or delete that folder, and what the log still holds is counted "
                "again"
            ) from error

    async def _create_topics(self, parts: Parts) -> None:
        if "SCOREKEEPER_KAFKA" not in self._addresses:
            tell(f"asking Kafka at {self._settings.kafka} for the topics")
        created = await asyncio.to_thread(create_missing, parts.topics, self._settings)
        if created:
            tell(f"created the topics {', '.join(created)}")

    def _start_ours(self) -> None:
        tell(f"starting the API and {counted(self._workers, 'worker')}")
        self._supervisor.keep("the API", partial(self._start, "api", "api"))
        for number in range(1, self._workers + 1):
            self._supervisor.keep(f"worker {number}", partial(self._start, "agents", f"worker-{number}"))

    def _start(self, module: str, log: str) -> Part:
        home = self._settings.data_dir
        return OurProcess(module, [sys.executable, "-m", module], home / "log" / f"{log}.log", self._addresses)

    async def _prepare_project(self, parts: Parts) -> tuple[str, str]:
        if not self._demo:
            return await key_of(parts, "default")
        from app.cli.demo import PROJECT_NAME, prepare_demo

        tell("preparing the demo")
        project, key = await key_of(parts, PROJECT_NAME)
        await prepare_demo(parts, project)
        return project, key

    async def _wait_until_ready(self, parts: Parts) -> None:
        deadline = time.monotonic() + READY_SECONDS
        told = time.monotonic()
        while missing := await self._missing(parts):
            if self._supervisor.look_after():
                self._write_record()
            if time.monotonic() > deadline:
                logs = self._settings.data_dir / "log"
                raise EmbeddedUnavailable(f"not ready after {READY_SECONDS:.0f} s, {missing}: the logs are in {logs}")
            if time.monotonic() - told > 2:
                told = time.monotonic()
                tell(f"waiting: {missing}")
            await asyncio.sleep(0.05)

    async def _missing(self, parts: Parts) -> str:
        """What is not there yet, in words; empty when all is."""
        if not await asyncio.to_thread(answers_ready, url_of(self._settings)):
            return "the API does not answer yet"
        try:
            workers = await parts.signals.workers()
        except StoreUnavailable as error:
            return str(error)
        live = [report for report in workers.values() if report["alive"]]
        mine = {(socket.gethostname(), pid) for pid in self._supervisor.pids("worker")}
        started = sum((report["host"], report["pid"]) in mine for report in live)
        if started < self._workers:
            return f"{started} of {self._workers} workers have started"
        # Whoever has them: on servers that are named, others may count as well.
        held = {partition for report in live for partition in report["partitions"]}
        wanted = {
            f"{position.topic}/{position.partition}"
            for topic in await asyncio.to_thread(parts.topics.describe, self._settings.topics)
            for position in topic.positions()
        }
        if not held >= wanted:
            return f"{len(held & wanted)} of {len(wanted)} partitions are assigned"
        return "" if await self._is_fresh(parts) else "the log is read from where counting ended"

    async def _is_fresh(self, parts: Parts) -> bool:
        """Whether goals show figures. A long log is not waited for: they say by themselves that they are rebuilt."""
        self._assigned_at = self._assigned_at or time.monotonic()
        if time.monotonic() - self._assigned_at > FRESH_SECONDS:
            return True
        try:
            reading = await parts.reader.read([])
        except StoreUnavailable:
            return False
        return not reading.rebuilding

    # -- running

    def _announce(self, project: str, key: str, seconds: float) -> None:
        self._running = self._describe(project, key)
        self._write_record()
        self._write_ready_file()
        url = self._running.url
        print_line(f"ready {url}")
        tell(f"started in {seconds:.1f} s; everything is in {self._settings.data_dir}; Ctrl-C ends it")
        tell(f"project  {project}")
        tell(f"API key  {key}")
        tell(f"try      curl -H 'x-api-key: {key}' {url}/api/goals")

    async def _stay(self, parts: Parts, project: str) -> None:
        shop = table = None
        if self._demo:
            from app.cli.demo import run_shop
            from app.cli.goals import show_live

            shop = asyncio.create_task(run_shop(parts, project))
            table = asyncio.create_task(show_live(parts, project, 1.0))
        try:
            while True:
                if self._supervisor.look_after():
                    await self._after_a_new_start(parts)
                for task in (shop, table):
                    if task is not None and task.done():
                        task.result()
                await asyncio.sleep(WATCH_SECONDS)
        finally:
            for task in (shop, table):
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError, ScorekeeperError):
                        await task

    async def _after_a_new_start(self, parts: Parts) -> None:
        # The embedded broker forgets its topics when it dies.
        with suppress(StoreUnavailable):
            await self._create_topics(parts)
        self._running = self._describe(self._running.projectKey, self._running.apiKey)
        self._write_record()
        self._write_ready_file()

    def _write_ready_file(self) -> None:
        self._is_announced = True
        if self._ready_file is not None:
            write_privately(self._ready_file, json.dumps(asdict(self._running)))

    def _remove_ready_file(self) -> None:
        if self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)

    def _write_record(self) -> None:
        running = getattr(self, "_running", None) or self._describe("", "")
        write_record(self._settings.data_dir, running)

    def _describe(self, project: str, key: str) -> Running:
        from app.bootstrap import database_url

        settings = self._settings
        api = self._supervisor.pids("the API")
        return Running(
            url=url_of(settings),
            kafka=settings.kafka or "",
            redis=settings.redis.get_secret_value() if settings.redis else "",
            database=database_url(settings),
            dataDir=str(settings.data_dir),
            projectKey=project,
            apiKey=key,
            pids={"up": os.getpid(), "api": api[0] if api else None, "workers": self._supervisor.pids("worker")},
        )


def url_of(settings: Settings) -> str:
    """Where the API is for this machine, whichever of its addresses it listens on."""
    scheme = "http" if settings.tls_certificate is None else "https"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  # compared, not bound
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


def answers_ready(url: str) -> bool:
    """Whether the API says that it is ready. Blocking, at most two seconds."""
    import http.client
    import ssl
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = http.client.HTTPConnection(host, port, timeout=2)
    if parts.scheme == "https":
        # Whether the certificate is the right one, for a name that this machine need not have, is for clients to say.
        trusting = ssl._create_unverified_context()  # noqa: S323  # it is our own child
        connection = http.client.HTTPSConnection(host, port, timeout=2, context=trusting)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
