"""`make screenshots`: pictures of the page with the demo, light, dark and narrow, in screenshots/ (git-ignored)."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.end_to_end.processes import COMMAND, eventually

TARGET = Path(__file__).parents[1] / "screenshots"
SETTLE_MS = 15_000


def main() -> int:
    """Write the pictures; the exit code."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        sys.stderr.write("make screenshots needs Chromium (package chromium)\n")
        return 2
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scorekeeper-screenshots-") as folder:
        ready = Path(folder) / "ready.json"
        arguments = ["up", "--demo", "--port", "0", "--data-dir", f"{folder}/data", "--ready-file", str(ready)]
        with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as up:
            try:
                eventually(ready.exists, 60, "the demo")
                where = json.loads(ready.read_text())
                _take(executable, where["url"], where["apiKey"])
            finally:
                up.send_signal(signal.SIGINT)
    sys.stdout.write(f"wrote {', '.join(sorted(path.name for path in TARGET.glob('*.png')))}\n")
    return 0


def _take(executable: str, url: str, key: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(base_url=url)
        page.goto("/sign-in")
        _picture(page, "sign-in")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector("#connection[data-state=live]")
        page.wait_for_timeout(SETTLE_MS)
        _picture(page, "goals")
        page.goto("/docs")
        _picture(page, "reference")
        browser.close()


def _picture(page: Page, name: str) -> None:
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 360)):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.set_viewport_size({"width": width, "height": 800})
        page.screenshot(path=TARGET / f"{name}-{scheme}-{width}.png")


if __name__ == "__main__":
    sys.exit(main())
