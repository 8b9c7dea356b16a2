"""Alerts in the files of `export` and `apply`; their secrets are told once."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
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
from tests.cli.files import HOOK, SHOP, WITH_ALERTS


def stored_alerts() -> list[tuple[Any, ...]]:
    """(id, secret, body, told) of each, by name."""
    with closing(sqlite3.connect(".scorekeeper/scorekeeper.db")) as connection:
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
    with closing(sqlite3.connect(".scorekeeper/scorekeeper.db", isolation_level=None)) as connection:
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
    made, _ = alerts.create("shop", "a", "whsec_a", body, "t")
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
