"""`scorekeeper export` and `apply`: definitions that a team keeps in git."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.domain.alerting import Told
from app.errors import ScorekeeperError, StoreUnavailable
from app.stores.alert_rows import MOST
from app.stores.database import Database
from app.stores.sql import SqlDefinitions
from app.stores.sql_alerts import SqlAlerts
from tests.cli.conftest import Ended, Scorekeeper

SHOP = """\
project: web-shop
name: Web Shop
timeZone: Europe/Berlin
conversionGoals:
  - name: Purchase
    eventType: purchase
    conditions: {country: {$in: [DE, NO]}}
    valueProperty: amount
goals:
  - metric: purchase
    aggregation: sum
    target: 1000
    deadline: 2036-12-31
"""


@pytest.fixture
def apply(scorekeeper: Scorekeeper, tmp_path: Path) -> Any:
    """Applies a text; options come after it."""

    def call(text: str, *options: str) -> Ended:
        file = tmp_path / "shop.yaml"
        file.write_text(text, encoding="utf-8")
        return scorekeeper("apply", "shop.yaml", *options)

    return call


def exported(scorekeeper: Scorekeeper, *options: str) -> Any:
    return yaml.safe_load(scorekeeper("export", *options).out)


def test_a_file_makes_a_project_and_a_second_time_changes_nothing(apply: Any, scorekeeper: Scorekeeper) -> None:
    first = apply(SHOP, "--json").json()[0]
    assert [(step["action"], step["kind"]) for step in first["steps"]] == [
        ("create", "conversion_goal"),
        ("create", "goal"),
    ]
    second = apply(SHOP)
    assert "2 unchanged" in second.err
    assert "nothing to do" in second.err
    # Nothing of YAML 1.1: NO is Norway and a date is a text.
    made = exported(scorekeeper)
    assert made["conversionGoals"][0]["conditions"] == {"country": {"$in": ["DE", "NO"]}}
    assert made["goals"][0]["deadline"] == "2036-12-31"
    assert (made["project"], made["name"]) == ("web-shop", "Web Shop")


def test_the_plan_names_each_field_and_a_dry_run_changes_nothing(apply: Any, scorekeeper: Scorekeeper) -> None:
    apply(SHOP)
    before = exported(scorekeeper)
    changed = SHOP.replace("target: 1000", "target: 2000").replace("    valueProperty: amount\n", "")
    planned = apply(changed, "--dry-run")
    assert "target: 1000 -> 2000" in planned.err
    assert 'valueProperty: "amount" -> (taken away)' in planned.err
    assert exported(scorekeeper) == before
    assert [step["action"] for step in apply(changed, "--json").json()[0]["steps"]] == ["change", "change"]
    assert exported(scorekeeper)["goals"][0]["target"] == 2000
    assert exported(scorekeeper)["goals"][0]["id"] == before["goals"][0]["id"]


def test_what_the_file_does_not_name_stays_unless_it_is_pruned(apply: Any, scorekeeper: Scorekeeper) -> None:
    apply(SHOP)
    without = SHOP[: SHOP.index("goals:\n  - metric")]
    assert "1 not in the file stay" in apply(without).err
    assert len(exported(scorekeeper)["goals"]) == 1
    assert "1 to delete" in apply(without, "--prune").err
    assert exported(scorekeeper)["goals"] == []


def test_a_new_database_gives_the_same_ids_for_the_same_names(apply: Any, scorekeeper: Scorekeeper) -> None:
    def ids() -> list[str]:
        made = exported(scorekeeper)
        return [one["id"] for one in made["conversionGoals"] + made["goals"]]

    apply(SHOP)
    first = ids()
    for file in Path(".scorekeeper").glob("scorekeeper.db*"):
        file.unlink()
    apply(SHOP)
    assert ids() == first


def test_an_export_restores_ids_moments_and_history_in_an_empty_database(apply: Any, scorekeeper: Scorekeeper) -> None:
    apply(SHOP)
    apply(SHOP.replace("NO]", "NO, SE]").replace("target: 1000", "target: 2000"))
    apply(SHOP[: SHOP.index("goals:\n  - metric")], "--prune")
    text = scorekeeper("export").out
    assert len(yaml.safe_load(text)["history"]["versions"]) == 5
    assert "&id" not in text
    for file in Path(".scorekeeper").glob("scorekeeper.db*"):
        file.unlink()
    assert "rebuild" in apply(text).err
    assert scorekeeper("export").out == text
    assert "nothing to do" in apply(text).err


def test_a_deleted_definition_comes_back_under_its_id_as_old_as_it_was(apply: Any, scorekeeper: Scorekeeper) -> None:
    apply(SHOP)
    text = scorekeeper("export", "--no-history").out
    created = exported(scorekeeper)["history"]["versions"][-1]["createdAt"]
    apply("project: web-shop\n", "--prune")
    apply(text)
    assert exported(scorekeeper)["goals"] == yaml.safe_load(text)["goals"]
    assert exported(scorekeeper)["history"]["versions"][-1]["createdAt"] == created


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("target: 1000", "target: -1"), "shop.yaml:12:5: goals.0.target: it is not positive."),
        (
            ("aggregation: sum", "agregation: sum"),
            "shop.yaml:11:5: goals.0.agregation: there is no such field. Did you",
        ),
        (("{$in: [DE, NO]}", "{$within: 1}"), "shop.yaml:7:28: conversionGoals.0.conditions.country.$within"),
        (("timeZone: Europe/Berlin", "timeZone: Mars"), "shop.yaml:3:1: timeZone: 'Mars' is no time zone."),
        (("goals:\n  -", "goal:\n  -"), "shop.yaml:9:1: goal: there is no such field. Did you mean 'goals'?"),
        (("project: web-shop", "project: Web Shop"), "shop.yaml:1:1: project: 'Web Shop' is no project key. Did you"),
        (("target: 1000", "target: 1000\n    target: 2"), "shop.yaml:13:5: the field 'target' stands there twice."),
        (("target: 1000", "target: [1"), "it is no YAML"),
        (("target: 1000", "target: {a: b?c}"), "Put what holds a question mark in quotes."),
        (("    valueProperty: amount", "    id: a b"), "shop.yaml:8:5: conversionGoals.0.id: 'a b' is no id."),
        (("target: 1000", "target: !!python/name:os.system x"), "the tag"),
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


def test_an_unknown_field_is_told_all_that_a_definition_may_have(apply: Any) -> None:
    said = apply(
        WITH_ALERTS.replace("holdMinutes: 10", "zzz: 1").replace("    valueProperty: amount", "    zzz: 1")
    ).err
    assert "Known are: id, name, eventType" in said
    assert "Known are: id, name, url" in said
    assert "Did you mean 'id'?" in apply(WITH_ALERTS.replace("holdMinutes: 10", "idd: 1")).err


def test_two_of_one_name_need_ids(apply: Any, scorekeeper: Scorekeeper) -> None:
    twice = SHOP + "  - {metric: purchase, aggregation: sum, target: 5, deadline: 2036-12-31}\n"
    ended = apply(twice)
    assert ended.code == 2
    assert "the same goal as goals.0" in ended.err
    assert apply(twice.replace("target: 5", "id: small, target: 5")).code == 0
    assert "say" in apply(SHOP).err.lower()


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


def test_a_change_in_between_stops_the_plan_whole(tmp_path: Path) -> None:
    from app.domain.declaring import declare, plan

    database = Database(f"sqlite:///{tmp_path / 's.db'}")
    database.migrate()
    definitions = SqlDefinitions(database)
    project = definitions.create_project("shop", "shop", "UTC")
    definitions.create("shop", "conversion_goal", "a", {"name": "A", "eventType": "x", "metric": "a"}, "t")
    present = definitions.current("shop")[1]
    wanted = [
        declare("conversion_goal", {"id": "b", "name": "B", "eventType": "y"}, "/0"),
        declare("conversion_goal", {"id": "a", "name": "A", "eventType": "z"}, "/1"),
    ]
    made = plan(project, wanted, present, now=0)
    definitions.change("shop", "conversion_goal", "a", lambda before: {**before.body, "eventType": "w"}, "other")
    with pytest.raises(ScorekeeperError, match="plan again"):
        definitions.carry_out("shop", made.steps, {}, "t")
    assert [version.id for version in definitions.current("shop")[1]] == ["a"]
    database.close()


def test_an_alias_bomb_is_refused(apply: Any) -> None:
    lines = ["project: x", "name: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    ended = apply("\n".join(lines))
    assert ended.code == 2
    assert "it holds too much" in ended.err


def test_json_is_yaml_too(apply: Any) -> None:
    assert apply(json.dumps(yaml.load(SHOP, yaml.BaseLoader)).replace('"1000"', "1000")).code == 0


HOOK = "https://hooks.example.com/services/very-private"
ALERTS = f"""\
alerts:
  - name: Falls behind
    url: {HOOK}
    when: status_change
    holdMinutes: 10
  - {{name: Silent, url: {HOOK}, when: goal_silent, silentHours: 24}}
"""
WITH_ALERTS = SHOP + ALERTS


def stored_alerts() -> list[tuple[Any, ...]]:
    """(id, secret, body, told) of each, by name."""
    with sqlite3.connect(".scorekeeper/scorekeeper.db") as connection:
        rows = connection.execute("SELECT id, secret, body, told FROM alerts").fetchall()
    return sorted(((ident, secret, json.loads(body), told) for ident, secret, body, told in rows), key=str)


def told_secrets(ended: Ended) -> dict[str, str]:
    return {
        step["id"]: step["secret"]
        for one in json.loads(ended.out)
        for step in one["steps"]
        if step["kind"] == "alert" and "secret" in step
    }


def test_alerts_are_made_once_and_their_secrets_are_told_once(apply: Any, scorekeeper: Scorekeeper) -> None:
    planned = apply(WITH_ALERTS, "--dry-run", "--json")
    assert "+ alert 'Silent'" in planned.err
    assert told_secrets(planned) == {}
    first = apply(WITH_ALERTS, "--json")
    stored = stored_alerts()
    assert told_secrets(first) == {ident: secret for ident, secret, _, _ in stored}
    assert all(re.fullmatch("whsec_[0-9a-f]{64}", secret) for _, secret, _, _ in stored)
    second = apply(WITH_ALERTS)
    assert "4 unchanged" in second.err
    assert "nothing to do" in second.err
    text = scorekeeper("export").out
    assert [one["name"] for one in yaml.safe_load(text)["alerts"]] == ["Falls behind", "Silent"]
    assert "whsec_" not in text + second.out + scorekeeper("export", "--json").out
    assert "nothing to do" in apply(text).err
    assert stored_alerts() == stored


def test_a_changed_alert_keeps_its_id_and_its_secret(apply: Any) -> None:
    apply(WITH_ALERTS)
    before = {ident: secret for ident, secret, _, _ in stored_alerts()}
    changed = WITH_ALERTS.replace("holdMinutes: 10", "holdMinutes: 20").replace("silentHours: 24", "silentHours: 2")
    ended = apply(changed.replace("very-private", "another"), "--json")
    assert "holdMinutes: 10 -> 20" in ended.err
    assert "silentHours: 24 -> 2" in ended.err
    assert told_secrets(ended) == {}
    assert {ident: secret for ident, secret, _, _ in stored_alerts()} == before
    assert all(body["url"].endswith("another") for _, _, body, _ in stored_alerts())


def test_another_rule_begins_anew_and_another_address_goes_on(apply: Any) -> None:
    apply(WITH_ALERTS)
    with sqlite3.connect(".scorekeeper/scorekeeper.db") as connection:
        connection.execute("UPDATE alerts SET told = ?", ('{"g": ["behind", null, 0]}',))
    apply(WITH_ALERTS.replace("silentHours: 24", "silentHours: 2").replace(f"url: {HOOK}\n", f"url: {HOOK}2\n"))
    told = {body["name"]: json.loads(told) for _, _, body, told in stored_alerts()}
    assert told == {"Falls behind": {"g": ["behind", None, 0]}, "Silent": {}}


def test_an_address_is_told_in_no_plan(apply: Any) -> None:
    made = [apply(WITH_ALERTS, "--dry-run"), apply(WITH_ALERTS)]
    made += [apply(WITH_ALERTS.replace("very-private", "too-private"), *options) for options in ((), ("--json",))]
    for ended in made:
        assert "private" not in ended.out + ended.err
    assert 'url: "https://hooks.example.com/…"' in made[0].err


def test_a_file_without_the_section_leaves_alerts_as_they_are_and_says_so(apply: Any) -> None:
    apply(WITH_ALERTS)
    before = stored_alerts()
    ended = apply(SHOP, "--prune")
    assert "0 to delete" in ended.err
    assert "warning: 2 alerts stay: the file says nothing of `alerts`; `alerts: []` deletes them" in ended.err
    assert stored_alerts() == before


@pytest.mark.parametrize("empty", ["alerts:\n", "alerts: []\n"])
def test_an_empty_section_has_no_alerts_like_the_other_lists(apply: Any, empty: str) -> None:
    apply(WITH_ALERTS)
    assert "2 not in the file stay" in apply(SHOP + empty).err
    assert "2 to delete" in apply(SHOP + empty, "--prune").err
    assert stored_alerts() == []


def test_ids_that_nothing_has_are_told_with_the_nearest(apply: Any) -> None:
    text = WITH_ALERTS.replace("  - metric: purchase", "  - id: turnover\n    metric: purchase")
    text = text.replace("  - name: Purchase", "  - id: bought\n    name: Purchase")
    text = text.replace("    target: 1000", "    conversionGoalIds: [bougt]\n    target: 1000")
    ended = apply(text.replace("    holdMinutes: 10", "    goalIds: [turnovr, other]"), "--dry-run", "--json")
    assert ended.json()[0]["warnings"] == [
        "goal 'turnover': No conversion goal has the id 'bougt' (yet). Did you mean 'bought'?",
        "alert 'Falls behind': No goal has the id 'turnovr' (yet). Did you mean 'turnover'?",
        "alert 'Falls behind': No goal has the id 'other' (yet).",
    ]
    assert "warning: goal 'turnover'" in ended.err
    right = text.replace("bougt", "bought").replace("    holdMinutes: 10", "    goalIds: [turnover]")
    assert apply(right, "--json").json()[0]["warnings"] == []
    pruned = apply("project: web-shop\n", "--prune", "--json").json()[0]["warnings"]
    assert "alert 'Falls behind': No goal has the id 'turnover' (yet)." in pruned


def test_alerts_that_the_section_does_not_name_are_pruned(apply: Any) -> None:
    apply(WITH_ALERTS)
    assert "1 not in the file stay" in apply(WITH_ALERTS[: WITH_ALERTS.index("  - {name: Silent")]).err
    assert len(stored_alerts()) == 2
    assert "- alert 'Silent'" in apply(WITH_ALERTS[: WITH_ALERTS.index("  - {name: Silent")], "--prune").err
    assert [body["name"] for _, _, body, _ in stored_alerts()] == ["Falls behind"]
    apply(SHOP + "alerts: []\n", "--prune")
    assert stored_alerts() == []


def test_as_many_alerts_as_there_may_be_are_replaced_at_once(apply: Any) -> None:
    def of(word: str, number: int) -> str:
        made = [f"  - {{name: {word} {n}, url: {HOOK}, when: target_reached}}\n" for n in range(number)]
        return SHOP + "alerts:\n" + "".join(made)

    apply(of("old", MOST))
    too_many = apply(of("new", MOST + 1).replace("target: 1000", "target: 2000"), "--prune")
    assert (too_many.code, f"at most {MOST} alerts" in too_many.err) == (1, True)
    rehearsed = apply(of("new", MOST + 1), "--prune", "--dry-run")
    assert (rehearsed.code, f"at most {MOST} alerts" in rehearsed.err) == (1, True)
    assert "target: 1000 -> 2000" in apply(of("old", MOST).replace("target: 1000", "target: 2000"), "--dry-run").err
    assert apply(of("new", MOST), "--prune").code == 0
    assert {body["name"].split()[0] for _, _, body, _ in stored_alerts()} == {"new"}


def test_the_same_file_gives_an_empty_database_the_same_alerts_and_other_secrets(
    apply: Any, scorekeeper: Scorekeeper
) -> None:
    apply(WITH_ALERTS)
    text, before = scorekeeper("export").out, stored_alerts()
    for file in Path(".scorekeeper").glob("scorekeeper.db*"):
        file.unlink()
    ended = apply(text)
    after = stored_alerts()
    assert [(ident, body) for ident, _, body, _ in after] == [(ident, body) for ident, _, body, _ in before]
    for ident, secret, _, _ in after:
        assert f"({ident}), shown this once: {secret}" in ended.out
    assert not {secret for _, secret, _, _ in before} & {secret for _, secret, _, _ in after}


def test_secrets_that_were_made_before_a_failure_are_told(apply: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out = SqlDefinitions.carry_out

    def break_off(self: SqlDefinitions, project: str, *others: Any) -> int:
        if project == "other":
            raise StoreUnavailable("sql", "it went away")
        return carry_out(self, project, *others)

    monkeypatch.setattr(SqlDefinitions, "carry_out", break_off)
    other = WITH_ALERTS.replace("web-shop", "other")
    ended = apply(f"{WITH_ALERTS}---\n{other}", "--json")
    assert (ended.code, "it went away" in ended.err) == (1, True)
    assert ended.out.count("whsec_") == 2


def test_an_alert_that_was_changed_after_the_plan_stops_it_whole(tmp_path: Path) -> None:
    from app.domain.declaring import as_present, declare, plan

    database = Database(f"sqlite:///{tmp_path / 's.db'}")
    database.migrate()
    definitions, alerts = SqlDefinitions(database), SqlAlerts(database)
    project = definitions.create_project("shop", "shop", "UTC")
    body = {"name": "A", "url": HOOK, "when": "target_reached"}
    made = alerts.create("shop", "a", "whsec_a", body, "t")
    wanted = [
        declare("conversion_goal", {"id": "b", "name": "B", "eventType": "y"}, "/0"),
        declare("alert", {**body, "status": "paused"}, "/1"),
    ]
    planned = plan(project, wanted, [as_present(made)], now=0)
    # What it told is no change of it.
    alerts.tell(made, {"g": Told("open")}, [])
    alerts.edit("shop", "a", lambda before: ({**before.body, "name": "B"}, False), "other")
    with pytest.raises(ScorekeeperError, match="plan again"):
        definitions.carry_out("shop", planned.steps, {}, "t")
    assert definitions.current("shop")[1] == []
    alerts.edit("shop", "a", lambda before: (body, False), "other")
    definitions.carry_out("shop", planned.steps, {}, "t")
    assert alerts.get("shop", "a").body == {**body, "status": "paused"}
    database.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("when: goal_silent", "when: sometimes"), "shop.yaml:19:74: alerts.1.when"),
        (("holdMinutes: 10", "holdMinute: 10"), "shop.yaml:18:5: alerts.0.holdMinute: there is no such field. Did"),
        (("https://hooks.example.com/services/very-private\n", "http://h.example.com\n"), "alerts.0.url: its scheme"),
        (("https://hooks.example.com/services/very-private\n", "https://10.0.0.1/\n"), "its address is not public"),
        (("https://hooks.example.com/services/very-private\n", "${NO_HOOK}\n"), "the environment has no NO_HOOK."),
        (("https://hooks.example.com/services/very-private\n", "$NO_HOOK\n"), "Write ${NAME}, and nothing beside it."),
        (
            ("https://hooks.example.com/services/very-private\n", "https://h/${X}\n"),
            "Write ${NAME}, and nothing beside",
        ),
        (("name: Silent", "name: Falls behind"), "alerts.1: it is the same alert as alerts.0: 'Falls behind'."),
    ],
)
def test_a_wrong_alert_is_told_with_its_place(apply: Any, change: tuple[str, str], said: str) -> None:
    ended = apply(WITH_ALERTS.replace(*change))
    assert ended.code == 2
    assert said in ended.err


def test_an_address_stands_in_the_environment(apply: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_HOOK", HOOK)
    named = WITH_ALERTS.replace(HOOK, '"${SHOP_HOOK}"')
    apply(named)
    assert {body["url"] for _, _, body, _ in stored_alerts()} == {HOOK}
    assert "nothing to do" in apply(named).err


def test_a_private_address_is_taken_where_the_settings_allow_it(apply: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    private = WITH_ALERTS.replace(HOOK, "http://10.0.0.1/hook")
    assert apply(private).code == 2
    monkeypatch.setenv("SCOREKEEPER_ALERTS_ALLOW_PRIVATE", "true")
    assert apply(private).code == 0


def test_a_mistyped_project_is_told_the_nearest(apply: Any, scorekeeper: Scorekeeper) -> None:
    apply(SHOP)
    assert "did you mean 'web-shop'?" in scorekeeper("export", "--project", "wbe-shop").err
