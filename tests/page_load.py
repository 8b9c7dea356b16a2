"""`make load-page`: many goals that change all the time, with many pages open. Prints what it costs beside its limits.

One of the pages is Chromium; the others are clients of the stream, as a browser's shared worker is. Figures mean
something on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Page, async_playwright

from tests.chromium import ARGUMENTS, find_chromium
from tests.end_to_end.processes import COMMAND, eventually
from tests.stream_load import Client

PROBES_A_SECOND = 10
LIMITS = {"api_p99_ms": 50.0, "main_thread_ms_a_second": 100.0, "first_paint_ms": 300.0, "sigterm_ms": 1000.0}


def definitions(goals: int) -> dict[str, Any]:
    """Each goal is fed by events of its own."""
    names = [f"signup_{number:03}" for number in range(goals)]
    return {
        "project": "default",
        "conversionGoals": [{"name": name, "eventType": name} for name in names],
        "goals": [
            {"metric": name, "description": f"Of {name}", "target": 1000, "deadline": "2036-12-31"} for name in names
        ],
    }


@contextmanager
def changing(goals: int, rate: int, seconds: float, environment: dict[str, str], folder: Path) -> Iterator[None]:
    """`rate` events a second, each for the next goal in turn."""
    file = folder / "events.ndjson"
    numbers = range(int(rate * seconds))
    file.write_text("".join(f'{{"type": "signup_{n % goals:03}", "id": "load-{n}"}}\n' for n in numbers))
    command = [*COMMAND, "publish", str(file), "--project", "default", "--rate", str(rate)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


async def probe(url: httpx.URL, key: str, seconds: float) -> list[float]:
    """How long the list of goals takes, in ms, asked at a steady pace by a process of its own: this one has all the
    streams to read."""
    asked = [str(url.host), str(url.port), key, "/api/goals", str(PROBES_A_SECOND), str(seconds)]
    command = [sys.executable, "-m", "tests.benchmarks.asking", *asked]
    asking = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    told, _ = await asking.communicate()
    delays = json.loads(told)["delays"]
    assert {status for status, _ in delays} == {200}
    return [delay * 1000 for _, delay in delays]


async def main_thread(page: Page, seconds: float) -> tuple[float, bool]:
    """(ms of the page's main thread a second, whether a row in focus kept it)."""
    protocol = await page.context.new_cdp_session(page)
    await protocol.send("Performance.enable")
    link = page.locator("tr[data-id] a").nth(20)
    await link.focus()
    held = "document.activeElement.closest('tr')?.dataset.id ?? null"
    before = await page.evaluate(held)

    async def busy() -> float:
        told = await protocol.send("Performance.getMetrics")
        return float(next(one["value"] for one in told["metrics"] if one["name"] == "TaskDuration"))

    started = await busy()
    await asyncio.sleep(seconds)
    spent = (await busy() - started) * 1000 / seconds
    return spent, before is not None and await page.evaluate(held) == before


async def first_paint(page: Page) -> float:
    """ms until something is seen, with nothing in the cache; the median of five."""
    protocol = await page.context.new_cdp_session(page)
    await protocol.send("Network.enable")
    await protocol.send("Network.setCacheDisabled", {"cacheDisabled": True})
    found = []
    for _ in range(5):
        await page.goto("/")
        await page.locator("tr[data-id]").first.wait_for()
        at = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        found.append(float(at))
    return sorted(found)[2]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ended(pid: int) -> float:
    """ms from SIGTERM to the process's end."""
    begun = time.perf_counter()
    os.kill(pid, signal.SIGTERM)
    while is_running(pid):
        time.sleep(0.005)
    return (time.perf_counter() - begun) * 1000


async def measure(where: dict[str, Any], streams: int, seconds: float) -> dict[str, float]:
    url = httpx.URL(where["url"])
    clients = [Client(str(url.host), int(url.port or 80), where["apiKey"], seed) for seed in range(streams - 1)]
    for client in clients:
        client.is_calm = True
    tasks = [asyncio.create_task(client.run(seconds)) for client in clients]
    found: dict[str, float] = {}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        page = await (await browser.new_context(base_url=where["url"])).new_page()
        await page.goto("/sign-in")
        await page.get_by_label("API key").fill(where["apiKey"])
        await page.get_by_role("button", name="Sign in").click()
        await page.locator("tr[data-id]").first.wait_for()
        (spent, kept), times = await asyncio.gather(main_thread(page, seconds), probe(url, where["apiKey"], seconds))
        times.sort()
        found["api_p50_ms"], found["api_p99_ms"] = times[len(times) // 2], times[int(len(times) * 0.99)]
        found["main_thread_ms_a_second"], found["focus_kept"] = spent, float(kept)
        found["first_paint_ms"] = await first_paint(page)
        found["streams_that_moved"] = float(sum(client.resumed > 0 for client in clients))
        found["sigterm_ms"] = await asyncio.to_thread(ended, where["pids"]["api"])
        await browser.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return found


def judged(found: dict[str, float], streams: int) -> Sequence[str]:
    """What is not as it has to be."""
    over = [f"{name}: {found[name]:.1f}, at most {limit:g}" for name, limit in LIMITS.items() if found[name] >= limit]
    over += [] if found["focus_kept"] else ["the focus was lost"]
    return over if found["streams_that_moved"] == streams - 1 else [*over, "streams that heard of no change"]


def main() -> int:
    """Start a Scorekeeper, load it, end it; 0 when every limit holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--goals", type=int, default=200)
    parser.add_argument("--rate", type=int, default=20, help="changes a second")
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scorekeeper-page-load-") as name:
        folder, ready = Path(name), Path(name) / "ready.json"
        arguments = ["up", "--port", "0", "--data-dir", f"{folder}/data", "--ready-file", str(ready)]
        limits = {f"SCOREKEEPER_{kind}_PER_MINUTE": "0" for kind in ("READS", "WRITES", "PAGE_READS")}
        environment = {**os.environ, **limits}
        quiet = subprocess.DEVNULL
        with subprocess.Popen([*COMMAND, *arguments], stdout=quiet, stderr=quiet, env=environment) as up:
            try:
                eventually(ready.exists, 90, "Scorekeeper")
                where = json.loads(ready.read_text())
                parts = {"KAFKA": "kafka", "REDIS": "redis", "DATABASE": "database", "DATA_DIR": "dataDir"}
                environment |= {f"SCOREKEEPER_{part}": where[key] for part, key in parts.items()}
                file = folder / "definitions.json"
                file.write_text(json.dumps(definitions(options.goals)))
                subprocess.run([*COMMAND, "apply", str(file)], env=environment, check=True, stdout=quiet, stderr=quiet)
                with changing(options.goals, options.rate, options.seconds + 60, environment, folder):
                    found = asyncio.run(measure(where, options.streams, options.seconds))
            finally:
                up.send_signal(signal.SIGINT)
    for key, value in found.items():
        sys.stdout.write(f"{key}: {value:.1f}{f' (under {LIMITS[key]:g})' if key in LIMITS else ''}\n")
    over = judged(found, options.streams)
    sys.stdout.write("".join(f"NOT AS IT HAS TO BE: {one}\n" for one in over))
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
