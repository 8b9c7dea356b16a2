"""`scorekeeper export` and `apply`: definitions that a team keeps in git."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.errors import ScorekeeperError
from app.stores.database import Database
from app.stores.sql import SqlDefinitions
from tests.cli.conftest import Scorekeeper
from tests.cli.files import SHOP, exported


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


def test_true_is_another_condition_than_one(apply: Any, scorekeeper: Scorekeeper) -> None:
    true, one = (SHOP.replace("{country: {$in: [DE, NO]}}", f"{{vip: {value}}}") for value in ("true", "1"))
    apply(true)
    planned = apply(one, "--json").json()[0]
    assert [(step["action"], step["kind"]) for step in planned["steps"]] == [("change", "conversion_goal")]
    assert exported(scorekeeper)["conversionGoals"][0]["conditions"]["vip"] is not True
    assert "2 unchanged" in apply(one).err
    assert 'conditions: {"vip": 1} -> {"vip": true}' in apply(true, "--dry-run").err


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


def test_a_project_from_before_names_had_a_limit_is_shown_exported_and_applied(
    apply: Any, scorekeeper: Scorekeeper
) -> None:
    scorekeeper("migrate")
    database = Database("sqlite:///.scorekeeper/scorekeeper.db")
    name = "n" * 300
    SqlDefinitions(database).create_project("web-shop", name, "Europe/Berlin")
    database.close()
    assert [project["name"] for project in scorekeeper("projects", "list", "--json").json()] == [name]
    assert apply(SHOP).code == 0
    text = scorekeeper("export").out
    assert yaml.safe_load(text)["name"] == name
    assert "nothing to do" in apply(text).err


def test_two_of_one_name_need_ids(apply: Any, scorekeeper: Scorekeeper) -> None:
    twice = SHOP + "  - {metric: purchase, aggregation: sum, target: 5, deadline: 2036-12-31}\n"
    ended = apply(twice)
    assert ended.code == 2
    assert "the same goal as goals.0" in ended.err
    assert apply(twice.replace("target: 5", "id: small, target: 5")).code == 0
    assert "say" in apply(SHOP).err.lower()


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


def test_json_is_yaml_too(apply: Any) -> None:
    assert apply(json.dumps(yaml.load(SHOP, yaml.BaseLoader)).replace('"1000"', "1000")).code == 0


def test_a_mistyped_project_is_told_the_nearest(apply: Any, scorekeeper: Scorekeeper) -> None:
    apply(SHOP)
    assert "did you mean 'web-shop'?" in scorekeeper("export", "--project", "wbe-shop").err


def test_a_mistyped_goal_is_told_the_nearest_before_the_log_is_read(apply: Any, scorekeeper: Scorekeeper) -> None:
    apply(SHOP)
    ident = exported(scorekeeper)["history"]["versions"][-1]["id"]
    ended = scorekeeper("verify", "--goal", ident[:-1] + "_")
    assert (ended.code, f"did you mean {ident!r}?" in ended.err) == (1, True), ended.err
