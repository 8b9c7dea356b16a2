"""Every command and snippet of README and docs is run, in order, on a Scorekeeper that runs as the reader's would.

`sh` and `python` blocks run as they stand; `javascript` runs in Chromium, where kafkajs is a stand-in that keeps what
is sent to it, and what it kept is then published for real. `console` blocks start what cannot run here (the demo that
stays up, containers, a cluster): what they name must exist.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from kafka import KafkaProducer

from tests.chromium import PATIENCE_MS
from tests.cli.test_up import House, running
from tests.docs.pages import PAGES, ROOT, Block, all_blocks, blocks
from tests.end_to_end.processes import eventually
from tests.servers import is_ci

RUN = {"sh", "python"}
NOT_RUN = {"text", "yaml", "json", "mermaid", ""}
_ALERT_NAME = re.compile(r'\bname"?: "?([^",]+)"?, "?url\b')
KAFKAJS = """
const sent = [];
class Kafka {
  constructor(options) { if (!options.brokers.length) throw new Error("no brokers"); }
  producer() {
    return {
      connect: async () => {}, disconnect: async () => {},
      send: async ({ topic, messages }) => { sent.push(...messages.map(one => ({ topic, ...one }))); },
    };
  }
}
const randomUUID = () => crypto.randomUUID();
const process = { env: { SCOREKEEPER_KAFKA: "broker:9092" } };
"""


class _ShopPage(BaseHTTPRequestHandler):
    """The reader's own page, empty."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<h1>The shop</h1>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that http.server gives it
        """Says nothing."""


@pytest.fixture(scope="module")
def shop_origin() -> Iterator[str]:
    """Where the reader's page is: another origin than the API's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _ShopPage) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, shop_origin: str) -> Iterator[House]:
    """What `make run` leaves running, with the project that the pages publish to."""
    home = tmp_path_factory.mktemp("reader")
    with running(home, SCOREKEEPER_CORS_ORIGINS=shop_origin) as found:
        found.run("projects", "create", "Web Shop")
        yield found


def reader_environment(house: House, project: str = "web-shop") -> dict[str, str]:
    """What a reader has set who followed the page so far."""
    key = json.loads(house.run("keys", "create", "--project", project, "--json"))["apiKey"]
    return {
        **house.environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "KEY": key,
        "SCOREKEEPER_KAFKA": house.ready["kafka"],
        "SCOREKEEPER_REDIS": house.ready["redis"],
        "SCOREKEEPER_DATABASE": house.ready["database"],
    }


def as_script(page: list[Block], url: str) -> str:
    """The page's blocks as one shell script, so that what one sets the next one has."""
    parts = ["set -euo pipefail"]
    for block in page:
        body = block.text if block.language == "sh" else f"python - <<'END_OF_PYTHON'\n{block.text}END_OF_PYTHON\n"
        parts.append(f"echo '--- {block.name}' >&2\n{body}")
    return "\n".join(parts).replace("http://localhost:8000", url).replace("localhost:8000", url.removeprefix("http://"))


PAGES_TO_RUN = [page for page in PAGES if any(block.language in RUN for block in blocks(page))]


@pytest.mark.timeout(660)
@pytest.mark.parametrize("page", PAGES_TO_RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_run_in_order(page: Path, house: House, tmp_path: Path) -> None:
    environment = reader_environment(house)
    if page.name == "first-goal.md":
        # It creates the project itself: on a Scorekeeper that has none of that name.
        (tmp_path / "home").mkdir()
        with running(tmp_path / "home") as fresh:
            environment = reader_environment(fresh, "default")
            _run(page, fresh, environment, tmp_path)
        return
    _run(page, house, environment, tmp_path)


def _run(page: Path, house: House, environment: dict[str, str], folder: Path) -> None:
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    for name, content in readers_files().items():
        (folder / name).write_text(content)
    script = as_script([block for block in blocks(page) if block.language in RUN], house.ready["url"])
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def readers_files() -> dict[str, str]:
    """Files that README names and that a reader has of his own."""
    definition = {"name": "Trial Signup", "eventType": "form_submit", "conditions": {"plan": "pro"}}
    event = {"type": "form_submit", "data": {"plan": "pro"}}
    case = {"definition": definition, "event": event, "matches": True}
    return {
        "definition.json": json.dumps(definition),
        "events.ndjson": json.dumps(event) + "\n",
        "cases.ndjson": json.dumps(case) + "\n",
    }


def test_every_block_is_run_or_said_not_to_be() -> None:
    known = RUN | NOT_RUN | {"javascript", "console"}
    strange = [block.name for page in PAGES for block in blocks(page) if block.language not in known]
    assert strange == []
    bare = [
        block.name for block in all_blocks("") if re.search(r"^\s*(scorekeeper|curl|make) ", block.text, re.MULTILINE)
    ]
    assert [name for name in bare if not name.startswith("README.md")] == []


def test_an_alert_of_one_page_is_not_the_alert_of_another() -> None:
    """Who follows both would have two of a name, and the next `apply` could not tell which is meant."""
    names = [name for block in all_blocks("sh") for name in _ALERT_NAME.findall(block.text)]
    assert len(names) >= 2
    assert sorted(set(names)) == sorted(names)


@pytest.mark.browser
def test_javascript_sends_what_is_counted(house: House, shop_origin: str, browser_page: Any) -> None:
    """kafkajs is a stand-in here, since there may be no Node.js; syntax, message and key are the real ones."""
    house.ask("POST", "/api/goals", metric="unused", target=1, deadline="2099-12-31")
    environment = reader_environment(house)
    house.environment["KEY"] = environment["KEY"]
    browser_page.goto(f"{shop_origin}/")
    sent: list[dict[str, Any]] = []
    for block in all_blocks("javascript"):
        body = re.sub(r"^import .*$", "", block.text, flags=re.MULTILINE)
        body = body.replace("http://localhost:8000", house.ready["url"]).replace("sk_...", environment["KEY"])
        if "kafkajs" in block.text:
            sent += browser_page.evaluate(f"async () => {{ {KAFKAJS}\n{body}\nreturn sent; }}")
        else:
            answer = browser_page.evaluate(
                f"async () => {{ const real = fetch; let answer; const window_fetch = async (...all) => "
                f"(answer = await real(...all)); {body.replace('await fetch(', 'await window_fetch(')}\n"
                "return { status: answer.status, body: await answer.json() }; }"
            )
            assert answer["status"] in {200, 202}, answer
            assert answer["body"]["received"] == 1
    assert [message["topic"] for message in sent] == ["events"]
    before = _received(house)
    producer = KafkaProducer(bootstrap_servers=house.ready["kafka"])
    for message in sent:
        producer.send(message["topic"], message["value"].encode(), key=message["key"].encode()).get(30)
    producer.close()
    eventually(lambda: _received(house)["received"] == before["received"] + len(sent), 60, "the message from kafkajs")
    assert _received(house)["rejected"] == before["rejected"]


def _received(house: House) -> Any:
    house.run("wait", "--timeout", "60")
    return json.loads(house.run("status", "--json"))["projects"]["web-shop"]


@pytest.fixture
def browser_page() -> Iterator[Any]:
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox"], timeout=PATIENCE_MS
            )
        except Error as error:
            if is_ci():
                raise
            pytest.skip(f"no Chromium to run JavaScript in: {error}")
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


@pytest.mark.parametrize("block", all_blocks("console"), ids=lambda block: block.name)
def test_what_cannot_run_here_names_what_exists(block: Block) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for line in block.text.splitlines():
        command = line.partition("#")[0].split()
        match command:
            case ["make", target, *_]:
                assert target in targets
            case ["docker", "compose", *options]:
                services = {
                    option.partition("=")[0] for option in options if "=" in option and not option.startswith("-")
                }
                assert services <= set(compose["services"])
                if "--profile" in options:
                    profile = options[options.index("--profile") + 1]
                    assert any(profile in service.get("profiles", []) for service in compose["services"].values())
            case ["kubectl", "apply", "-k", folder]:
                assert (ROOT / folder / "kustomization.yaml").exists()
            case ["cp", source, _]:
                assert (ROOT / source).exists()
            case ["git", "clone", *_] | ["cd", *_] | []:
                pass
            case _:
                pytest.fail(f"{block.name}: {line!r} is neither run nor checked")
