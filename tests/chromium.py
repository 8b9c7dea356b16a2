"""Debian's Chromium for tests, and the page's modules in it without a server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.servers import is_ci

STATIC = Path(__file__).parents[1] / "api" / "dashboard" / "static"
ORIGIN = "http://modules.test"
PATIENCE_MS = 60_000
"""A test machine may be busy."""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def open_browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        assert not is_ci(), "CI=true needs Chromium (package chromium)"
        pytest.skip("Chromium is not installed (package chromium)")
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        opened = playwright.chromium.launch(
            executable_path=executable, args=ARGUMENTS, headless=True, timeout=PATIENCE_MS
        )
        yield opened
        opened.close()


def page_with_modules(browser: Browser, *, time_zone: str = "Europe/Berlin", locale: str = "en-GB") -> Page:
    """An empty page from which the modules can be imported as in the real one."""
    page = browser.new_context(timezone_id=time_zone, locale=locale).new_page()
    page.set_default_timeout(PATIENCE_MS)

    def serve(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if path.startswith("/static/"):
            route.fulfill(path=STATIC / path.removeprefix("/static/"), content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html><title>modules</title>", content_type="text/html")

    page.route(f"{ORIGIN}/**", serve)
    page.goto(ORIGIN)
    return page
