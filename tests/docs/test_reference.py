"""The documentation as a whole: it builds strictly, tells what the code says, and loads nothing from elsewhere."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from api.main import create_app
from app.errors import Reason
from config.settings import Settings, variable_of
from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_command_reason_and_field_has_its_place(site: Path, reference: ModuleType) -> None:
    settings = (site / "reference" / "settings.html").read_text()
    assert all(variable_of(field) in settings for field in Settings.model_fields)
    events = (site / "reference" / "events.html").read_text()
    assert all(str(reason) in events for reason in Reason)
    commands = (site / "reference" / "commands.html").read_text()
    for name in ("dead-letters replay", "snapshot save", "apply", "check-cases", "keys roll"):
        assert f"scorekeeper {name}" in commands
    assert "--prune" in commands
    assert reference.undescribed_event_fields() == set()


def test_every_call_is_shown_three_times_and_its_python_makes_that_call(
    reference: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str]] = []

    def request(method: str, url: str, **_: object) -> httpx.Response:
        made.append((method, url))
        return httpx.Response(200)

    monkeypatch.setattr(httpx, "request", request)
    page = reference.api_page()
    document = create_app(reference._Unwired()).openapi()
    called = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, {"URL": "", "KEY": "k"})
    assert sorted(made) == sorted(called)
    assert page.count("```sh") == page.count("```javascript") == len(called)


def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    loading = re.compile(
        r"""<(?:script|img|iframe)[^>]+src=["']?(https?:|//)|<link[^>]+rel="?stylesheet"?[^>]+(https?:|//)"""
    )
    pages, styles = list(site.rglob("*.html")), list(site.rglob("*.css"))
    assert pages
    assert styles
    assert [page.name for page in pages if loading.search(page.read_text())] == []
    foreign = re.compile(r"(@import|url\()\s*[\"']?(https?:)?//")
    assert [style.name for style in styles if foreign.search(style.read_text())] == []


def test_the_glossarys_names_are_in_the_code() -> None:
    rows = re.findall(r"^\| (.+?) \|.*\| `(.+?)` \|$", (ROOT / "docs/reference/glossary.md").read_text(), re.MULTILINE)
    assert len(rows) > 20
    for word, path in rows:
        parts = path.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                found: object = importlib.import_module(".".join(parts[:cut]))
            except ModuleNotFoundError:
                continue
            for name in parts[cut:]:
                assert hasattr(found, name), f"{word}: {path} is not in the code"
                found = getattr(found, name)
            break


def test_links_between_files_lead_somewhere() -> None:
    for file in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text()):
            assert (ROOT / target).exists(), f"{file.name} links to {target}"
