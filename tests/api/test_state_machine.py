"""Any sequence of calls by three projects leaves what a plain model says, and no byte of one is shown to another."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from app import defining
from tests.api.conftest import surrounded

T = TypeVar("T")
NAMES = ("alpha", "beta", "gamma")
SEQUENCES_A_WORLD = 25
IS_LONG = os.environ.get("SCOREKEEPER_TEST_LONG") == "1"

projects = st.sampled_from(NAMES)
numbers = st.integers(1, 999)
kinds = st.sampled_from(["goals", "conversion-goals"])


def body_for(kind: str, project: str, number: int) -> dict[str, Any]:
    """A definition whose every text belongs to its project alone."""
    if kind == "goals":
        return {"metric": f"metric-of-{project}", "target": number, "deadline": "2099-12-31", "unit": f"in-{project}"}
    return {"name": f"name-of-{project}-{number}", "eventType": f"type-of-{project}"}


class Ground:
    """The API that some sequences share, each with three projects of its own: making it takes longer than using it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._folder = TemporaryDirectory(prefix="scorekeeper-api-")
        self.world = self.run(self._stack.enter_async_context(surrounded(Path(self._folder.name), ())))
        self.sequences = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(coroutine)

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._loop.close()
        self._folder.cleanup()


_grounds: list[Ground] = []


@pytest.fixture(scope="module", autouse=True)
def _surroundings() -> Iterator[None]:
    """What is waited for after each change, that definitions act in time, is nothing to this model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defining, "ACTS_AFTER_SECONDS", 0.0)
        yield
    while _grounds:
        _grounds.pop().close()


class Projects(RuleBasedStateMachine):
    """The model: by project and kind, id -> the fields that were given last."""

    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self._model: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        self._acted: list[str] = []
        self._calls = 0

    @initialize()
    def begin(self) -> None:
        if _grounds and _grounds[-1].sequences >= SEQUENCES_A_WORLD:
            _grounds.pop().close()
        if not _grounds:
            _grounds.append(Ground())
        self._ground = _grounds[-1]
        self._ground.sequences += 1
        self._named = {name: f"{name}{self._ground.sequences}" for name in NAMES}
        for project in self._named.values():
            self._ground.world.add_project(project)
        self._model = {(name, kind): {} for name in NAMES for kind in ("goals", "conversion-goals")}

    def teardown(self) -> None:
        """Nobody's lists were changed by what others did."""
        for name, kind in self._model:
            self._compare(name, kind)

    def _call(self, method: str, path: str, project: str, **options: Any) -> httpx.Response:
        """The answer, in which nothing of another project may stand."""
        self._calls += 1
        self._acted.append(project)
        response = self._ground.run(self._ground.world.call(method, path, self._named[project], **options))
        assert response.status_code < 500, response.text
        foreign = [f"of-{other}" for other in NAMES if other != project and f"of-{other}" not in str(options)]
        assert [text for text in foreign if text in response.text] == []
        return response

    @rule(target=made, project=projects, kind=kinds, number=numbers)
    def create(self, project: str, kind: str, number: int) -> tuple[str, str, str]:
        body = body_for(kind, project, number)
        response = self._call("POST", f"/api/{kind}", project, json=body)
        assert response.status_code == 201, response.text
        ident = response.json()["id"]
        self._model[project, kind][ident] = body
        return project, kind, ident

    @rule(target=made, project=projects, kind=kinds, number=numbers)
    def create_twice_with_one_key(self, project: str, kind: str, number: int) -> tuple[str, str, str]:
        body, headers = body_for(kind, project, number), {"idempotency-key": f"{kind}-{self._calls}"}
        first, again = (self._call("POST", f"/api/{kind}", project, json=body, headers=headers) for _ in range(2))
        assert (again.status_code, again.json()) == (201, first.json())
        other = self._call("POST", f"/api/{kind}", project, json=body_for(kind, project, number + 1), headers=headers)
        assert other.status_code == 422
        self._model[project, kind][first.json()["id"]] = body
        return project, kind, first.json()["id"]

    @rule(one=made, number=numbers)
    def edit(self, one: tuple[str, str, str], number: int) -> None:
        project, kind, ident = one
        known = self._model[project, kind].get(ident)
        change: dict[str, Any] = {"target": number} if kind == "goals" else {"status": "paused", "valueProperty": "x"}
        response = self._call("PATCH", f"/api/{kind}", project, json={"id": ident, **change})
        assert response.status_code == (200 if known is not None else 404), response.text
        if known is not None:
            known.update(change)

    @rule(one=made)
    def edit_an_older_revision(self, one: tuple[str, str, str]) -> None:
        project, kind, ident = one
        response = self._call(
            "PATCH", f"/api/{kind}", project, json={"id": ident, "metric": "never"}, headers={"if-match": '"-1"'}
        )
        assert response.status_code in ({412, 422} if ident in self._model[project, kind] else {404, 412, 422})

    @rule(one=consumes(made))
    def delete(self, one: tuple[str, str, str]) -> None:
        project, kind, ident = one
        assert self._call("DELETE", f"/api/{kind}?id={ident}", project).status_code == 200
        del self._model[project, kind][ident]
        assert self._call("DELETE", f"/api/{kind}?id={ident}", project).status_code == 404

    @rule(one=made, stranger=projects, method=st.sampled_from(["PATCH", "DELETE"]))
    def reach_for_anothers(self, one: tuple[str, str, str], stranger: str, method: str) -> None:
        project, kind, ident = one
        if stranger == project:
            return
        answers = []
        for wanted in (ident, "0" * len(ident)):
            options: dict[str, Any] = {"json": {"id": wanted}} if method == "PATCH" else {}
            path = f"/api/{kind}" if method == "PATCH" else f"/api/{kind}?id={wanted}"
            response = self._call(method, path, stranger, **options)
            answers.append((response.status_code, response.text.replace(wanted, "ID")))
        assert answers[0] == answers[1]
        assert answers[0][0] == 404

    @rule(
        project=projects, wrong=st.sampled_from([{}, {"metric": 1}, {"target": -1}, {"nam": "x"}, {"deadline": "soon"}])
    )
    def send_what_is_wrong(self, project: str, wrong: dict[str, Any]) -> None:
        for kind in ("goals", "conversion-goals"):
            response = self._call("POST", f"/api/{kind}", project, json=wrong)
            assert response.status_code == 422
            assert response.json()["errors"]

    @invariant()
    def the_lists_of_who_acted_are_the_models(self) -> None:
        for name in set(self._acted):
            for kind in ("goals", "conversion-goals"):
                self._compare(name, kind)
        self._acted.clear()

    def _compare(self, name: str, kind: str) -> None:
        wanted = self._model[name, kind]
        found = self._call("GET", f"/api/{kind}", name).json()
        assert [one["id"] for one in found] == list(wanted)
        for one in found:
            assert {field: one[field] for field in wanted[one["id"]]} == wanted[one["id"]]


TestProjects = Projects.TestCase
TestProjects.settings = settings(
    max_examples=int(os.environ.get("SCOREKEEPER_TEST_EXAMPLES", "2000")) if IS_LONG else 6,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
