"""`make screenshots`: pictures of every view in light, dark and narrow, in screenshots/ (git-ignored); with
ARGS=--docs those that the documentation shows, in docs/pictures/."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from tests import story
from tests.end_to_end.processes import COMMAND, eventually

ROOT = Path(__file__).parents[1]
WIDTHS = {"light": 1280, "dark": 1280, "phone": 360}
IN_DOCS = {
    ("goals", "light"),
    ("goal", "light"),
    ("conversion-goal-edit", "light"),
    ("explain", "light"),
    ("pipeline", "light"),
}


def main() -> int:
    """Write the pictures; the exit code."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        sys.stderr.write("make screenshots needs Chromium (package chromium)\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="scorekeeper-screenshots-") as folder:
        ready = Path(folder) / "ready.json"
        arguments = ["up", "--port", "0", "--data-dir", f"{folder}/data", "--ready-file", str(ready)]
        with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as up:
            try:
                eventually(ready.exists, 90, "Scorekeeper")
                with sync_playwright() as playwright:
                    arguments = ["--no-sandbox", "--disable-gpu"]
                    browser = playwright.chromium.launch(executable_path=executable, args=arguments)
                    Photographer(browser, json.loads(ready.read_text()), is_for_docs="--docs" in sys.argv).take_all()
                    browser.close()
            finally:
                up.send_signal(signal.SIGINT)
    return 0


class Photographer:
    """Walks through the views of one running Scorekeeper."""

    def __init__(self, browser: Browser, where: Mapping[str, Any], *, is_for_docs: bool) -> None:
        self.where = where
        self.is_for_docs = is_for_docs
        self.folder = ROOT / "docs" / "pictures" if is_for_docs else ROOT / "screenshots"
        self.folder.mkdir(parents=True, exist_ok=True)
        context = browser.new_context(base_url=where["url"], locale="en-GB", timezone_id="Europe/Berlin")
        self.page: Page = context.new_page()

    def take_all(self) -> None:
        page = self.page
        page.goto("/sign-in")
        self.take("sign-in")
        page.get_by_label("API key").fill(self.where["apiKey"])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("No goals yet").wait_for()
        self.take("goals-empty")
        self.tell_the_story()
        names = {goal["description"]: goal["id"] for goal in self.api("GET", "/api/goals")}
        self.show("goals", "/", "tbody tr")
        self.show("goals-grouped", "/?sort=pace&group=status", "tr.group")
        self.show("goal", f"/goals/{names['Trials of paid plans']}", "#conversions tbody tr")
        self.show("goal-sum", f"/goals/{names['Revenue of the campaign']}", "#conversions tbody tr")
        self.show("goal-week", f"/goals/{names['Orders each week']}", "#conversions tbody tr")
        self.show("goal-rate", f"/goals/{names['Visits that end with an order']}", "#conversions tbody tr")
        self.show("goal-waiting", f"/goals/{names['Webinar in Lisbon']}", "#chart svg")
        self.show("goal-new", "/goals/new", "#goal-form")
        self.show("conversion-goals", "/conversion-goals", "tbody tr")
        self.new_conversion_goal()
        self.edited_conversion_goal()
        self.show("explain-empty", "/explain", ".pick")
        page.locator(".pick", has_text="order_paid").first.click()
        page.locator("article.verdict").first.wait_for()
        self.take("explain")
        self.alerts(names["Trials of paid plans"])
        self.show("pipeline", "/pipeline", "tbody tr")
        self.show("reference", "/docs", "section")
        self.show("not-found", "/goals/none", "h1")
        self.lagging()

    def tell_the_story(self) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        for conversion_goal in story.CONVERSION_GOALS:
            self.api("POST", "/api/conversion-goals", conversion_goal)
        for goal in story.goals(now):
            self.api("POST", "/api/goals", goal)
        names = {"SCOREKEEPER_KAFKA": "kafka", "SCOREKEEPER_REDIS": "redis", "SCOREKEEPER_DATABASE": "database"}
        settings = {variable: self.where[name] for variable, name in names.items()}
        settings["SCOREKEEPER_DATA_DIR"] = self.where["dataDir"]
        environment = {**os.environ, **settings}
        told = b"\n".join(story.lines(now))
        publish = [*COMMAND, "publish", "-", "--project", self.where["projectKey"]]
        subprocess.run(publish, input=told, env=environment, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*COMMAND, "wait", "--timeout", "120"], env=environment, check=True, stdout=subprocess.DEVNULL)

    def new_conversion_goal(self) -> None:
        page = self.page
        page.goto("/conversion-goals/new")
        page.get_by_label("Name").fill("Team signup")
        page.get_by_label("Event type").fill("form_submit")
        page.get_by_label("Where").fill("/signup/*")
        page.get_by_label("Property").first.fill("plan")
        page.get_by_label("Value", exact=True).first.fill("team")
        page.locator(".samples").first.wait_for()
        self.take("conversion-goal-new")

    def edited_conversion_goal(self) -> None:
        page = self.page
        page.goto("/conversion-goals")
        page.get_by_role("link", name="Large order", exact=True).click()
        page.locator(".samples").first.wait_for()
        page.get_by_label("Value", exact=True).first.fill("100")
        page.get_by_label("Value", exact=True).nth(1).fill("DE, FR")
        page.locator(".difference").wait_for()
        self.take("conversion-goal-edit")

    def alerts(self, goal: str) -> None:
        self.show("alerts-empty", "/alerts", "section.empty")
        self.show("alert-new", "/alerts/new", "form.card")
        address = {"url": "https://hooks.example.com/scorekeeper"}
        made = self.api(
            "POST", "/api/alerts", {**address, "name": "Paid trials", "when": "status_change", "goalIds": [goal]}
        )
        silent = {
            **address,
            "name": "A campaign is silent",
            "when": "goal_silent",
            "silentHours": 24,
            "status": "paused",
        }
        self.api("POST", "/api/alerts", silent)
        self.api("POST", f"/api/alerts/{made['id']}/test")
        self.show("alerts", "/alerts", "tbody tr")
        self.show("alert", f"/alerts/{made['id']}", "tbody tr")

    def lagging(self) -> None:
        page = self.page
        page.goto("/")
        page.locator("tbody tr").first.wait_for()
        os.kill(self.where["pids"]["workers"][0], signal.SIGSTOP)
        page.locator("#banner[data-kind=lagging]").wait_for(timeout=60_000)
        self.take("goals-lagging")
        os.kill(self.where["pids"]["workers"][0], signal.SIGCONT)

    def show(self, name: str, path: str, there: str) -> None:
        self.page.goto(path)
        self.page.locator(there).first.wait_for()
        self.take(name)

    def take(self, name: str) -> None:
        for kind, width in WIDTHS.items():
            if self.is_for_docs and (name, kind) not in IN_DOCS:
                continue
            self.page.emulate_media(color_scheme="dark" if kind == "dark" else "light")
            self.page.set_viewport_size({"width": width, "height": 760})
            self.page.wait_for_timeout(400)  # until the chart has the new width
            overflow = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if overflow > 0:
                sys.stderr.write(f"{name} ({kind}) is {overflow} px too wide\n")
            self.page.screenshot(path=self.folder / f"{name}-{kind}.png", full_page=not self.is_for_docs)
            sys.stdout.write(f"{name}-{kind}.png\n")
        self.page.set_viewport_size({"width": 1280, "height": 760})

    def api(self, method: str, path: str, body: object = None) -> Any:
        headers = {"x-api-key": self.where["apiKey"]}
        response = httpx.request(method, self.where["url"] + path, json=body, headers=headers, timeout=30)
        response.raise_for_status()
        return response.json()


if __name__ == "__main__":
    sys.exit(main())
