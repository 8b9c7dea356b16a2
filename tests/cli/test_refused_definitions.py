"""Files that `apply` refuses: every mistake at once, with its place, and nothing is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Scorekeeper
from tests.cli.files import HOOK, SHOP, WITH_ALERTS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("target: 1000", "target: -1"), "shop.yaml:12:5: goals.0.target: it is not positive."),
        (
            ("aggregation: sum", "agregation: sum"),
            "shop.yaml:11:5: goals.0.agregation: there is no such field. Did you",
        ),
        (("{$in: [DE, NO]}", "{$within: 1}"), "shop.yaml:7:28: conversionGoals.0.conditions.country.$within"),
        (
            ("name: Web Shop", "name: 2026"),
            "shop.yaml:2:1: name: 2026 is no text. Put it into quotes, or leave it out.",
        ),
        (("timeZone: Europe/Berlin", "timeZone: [Mars]"), "is no time zone. Give an IANA name"),
        (("timeZone: Europe/Berlin", "timeZone: Mars"), "shop.yaml:3:1: timeZone: 'Mars' is no time zone."),
        (("goals:\n  -", "goal:\n  -"), "shop.yaml:9:1: goal: there is no such field. Did you mean 'goals'?"),
        (("project: web-shop", "project: Web Shop"), "shop.yaml:1:1: project: 'Web Shop' is no project key. Did you"),
        (("target: 1000", "target: 1000\n    target: 2"), "shop.yaml:13:5: the field 'target' stands there twice."),
        (("target: 1000", "target: [1"), "it is no YAML"),
        (("target: 1000", "target: {a: b?c}"), "Put what holds a question mark in quotes."),
        (("    valueProperty: amount", "    id: a b"), "shop.yaml:8:5: conversionGoals.0.id: 'a b' is no id."),
        (("target: 1000", "target: !!python/name:os.system x"), "the tag"),
        (("{$in: [DE, NO]}", '"\\ud83d"'), "shop.yaml:7:18: conversionGoals.0.conditions.country: it holds half of"),
        (("{$in: [DE, NO]}", "{$gt: 1e999}"), "conversionGoals.0.conditions.country.$gt: it is no number that JSON"),
        (("name: Web Shop", 'name: "\\ud83d"'), "shop.yaml:2:1: name: it holds half of a surrogate pair."),
        (
            ("name: Web Shop", f"name: {'n' * 201}"),
            "shop.yaml:2:1: name: it has 201 characters. At most 200 are allowed.",
        ),
        (("target: 1000", f"target: {'9' * 5000}"), "shop.yaml:12:13: the number has too many digits."),
        (
            ("goals:\n  -", 'history: {createdAt: 1, versions: [{body: {a: "\\ud83d"}}]}\ngoals:\n  -'),
            "history.versions.0.body",
        ),
        (("deadline: 2036", "deadline: 2001"), "shop.yaml:13:5: goals.0.deadline: it lies before the goal's creation"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_nothing_is_stored(
    apply: Any, scorekeeper: Scorekeeper, change: tuple[str, str], said: str
) -> None:
    ended = apply(SHOP.replace(*change))
    assert ended.code == 2
    assert said in ended.err
    assert scorekeeper("projects", "list", "--json").json() == []


def test_every_mistake_is_told_at_once(apply: Any) -> None:
    ended = apply(SHOP.replace("target: 1000", "target: -1").replace("Europe/Berlin", "Mars"))
    assert len(ended.err.splitlines()) == 2


def test_every_mistake_of_an_alert_is_told_at_once(apply: Any) -> None:
    wrong = WITH_ALERTS.replace("  - name: Falls behind", "  - id: a b\n    names: Falls behind")
    for address in ("https://10.0.0.1/", "${NO_HOOK}"):
        said = apply(wrong.replace(f"url: {HOOK}\n", f"url: {address}\n").replace("holdMinutes: 10", "x: 1")).err
        assert len(said.splitlines()) == 5
        for part in ("alerts.0.id: ", "alerts.0.names: ", "alerts.0.name: ", "alerts.0.url: ", "alerts.0.x: "):
            assert part in said


def test_what_belongs_to_a_wrong_kind_of_alert_is_not_judged(apply: Any) -> None:
    said = apply(WITH_ALERTS.replace("when: goal_silent", "when: goal_sillent")).err
    assert (len(said.splitlines()), "Did you mean 'goal_silent'?" in said) == (1, True)


def test_mistakes_that_only_the_project_shows_are_told_at_once(apply: Any) -> None:
    apply(SHOP)
    late = SHOP.replace("2036", "2001").replace("Europe/Berlin", "Europe/Paris")
    late += "  - {metric: other, target: 1, deadline: 2001-12-31}\n"
    ended = apply(f"{late}---\n{late.replace('web-shop', 'second')}")
    assert (ended.code, len(ended.err.splitlines())) == (2, 5)


def test_mistakes_of_the_file_and_those_that_only_the_project_shows_are_told_together(
    apply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(SHOP)
    wrong = SHOP.replace("target: 1000", "target: -1").replace("Europe/Berlin", "Europe/Paris")
    ended = apply(wrong)
    assert (ended.code, len(ended.err.splitlines())) == (2, 2)
    assert "goals.0.target: " in ended.err
    assert "timeZone: the project's is Europe/Berlin." in ended.err
    monkeypatch.setenv("SCOREKEEPER_DATABASE", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    ended = apply(wrong)
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)


def test_an_unknown_field_is_told_all_that_a_definition_may_have(apply: Any) -> None:
    said = apply(
        WITH_ALERTS.replace("holdMinutes: 10", "zzz: 1").replace("    valueProperty: amount", "    zzz: 1")
    ).err
    assert "Known are: id, name, eventType" in said
    assert "Known are: id, name, url" in said
    assert "Did you mean 'id'?" in apply(WITH_ALERTS.replace("holdMinutes: 10", "idd: 1")).err


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_an_id_of_another_project_is_refused_whole(apply: Any, scorekeeper: Scorekeeper, options: tuple[str]) -> None:
    apply(SHOP.replace("  - name: Purchase", "  - id: shared\n    name: Purchase"))
    other = SHOP.replace("web-shop", "other").replace("  - name: Purchase", "  - id: shared\n    name: Purchase")
    ended = apply(other, *options)
    assert ended.code == 1
    assert "'shared' is already another definition's; give it another one, or leave `id` out" in ended.err
    assert [one["project"] for one in scorekeeper("export", "--json").json()] == ["web-shop"]


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_an_export_is_not_taken_for_a_second_project(apply: Any, scorekeeper: Scorekeeper, options: tuple[str]) -> None:
    apply(WITH_ALERTS)
    second = scorekeeper("export").out.replace("project: web-shop", "project: second")
    ended = apply(second, *options)
    assert (ended.code, "(and `history`, in an export for a second project)" in ended.err) == (1, True)
    made = yaml.safe_load(second)
    del made["history"]
    for one in made["conversionGoals"] + made["goals"] + made["alerts"]:
        del one["id"]
    assert apply(json.dumps(made), *options).code == 0


def test_a_file_that_is_refused_in_one_project_changes_none(apply: Any, scorekeeper: Scorekeeper) -> None:
    """Both are good alone: only the database, with the first in it, refuses the second."""
    mine = SHOP.replace("  - name: Purchase", "  - id: shared\n    name: Purchase")
    for options in (("--dry-run",), ()):
        ended = apply(f"{mine}---\n{mine.replace('web-shop', 'other')}", *options)
        assert (ended.code, "'shared' is already another definition's" in ended.err) == (1, True)
        assert scorekeeper("projects", "list", "--json").json() == []


def test_an_alias_bomb_is_refused(apply: Any) -> None:
    lines = ["project: x", "name: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    ended = apply("\n".join(lines))
    assert ended.code == 2
    assert "it holds too much" in ended.err
