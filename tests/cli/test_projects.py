"""`scorekeeper projects`, `keys` and `migrate`: on the database alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Scorekeeper


def test_a_project_is_created_with_a_key_that_is_shown_once(scorekeeper: Scorekeeper) -> None:
    made = scorekeeper("projects", "create", "eshop-2008", "--json").json()
    assert made["projectKey"] == "eshop-2008"
    assert made["apiKey"].startswith("sk_")
    secret = made["apiKey"].split("_")[2]
    assert secret not in scorekeeper("keys", "list", "--json").out
    assert [project["projectKey"] for project in scorekeeper("projects", "list", "--json").json()] == ["eshop-2008"]


def test_a_project_whose_name_is_in_another_script_has_the_key_that_it_is_given(scorekeeper: Scorekeeper) -> None:
    made = scorekeeper("projects", "create", "商店", "--key", "mise-ten", "--json").json()
    assert made["projectKey"] == "mise-ten"
    (project,) = scorekeeper("projects", "list", "--json").json()
    assert (project["projectKey"], project["name"]) == ("mise-ten", "商店")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("projects", "create", "Shop"), 1, "there is a project 'shop' already"),
        (
            ("projects", "create", "商店"),
            2,
            "'商店' has no letter a to z and no digit. Give a key beside it: --key web-shop.",
        ),
        (("projects", "create", "商店", "--key", "商店"), 2, "--key: '商店' has no letter a to z and no digit."),
        (
            ("projects", "create", "商店", "--key", "Mise Ten"),
            2,
            "'Mise Ten' is no project key. Did you mean mise-ten?",
        ),
        (("projects", "create", "n" * 201), 2, "/name: it has 201 characters. At most 200 are allowed."),
        (("projects", "create", "", "--key", "seen"), 2, "/name: it is empty. Give it as a string."),
        (("projects", "create", "\u200b", "--key", "seen"), 2, "/name: it has invisible characters alone."),
        (("projects", "create", "New\nShop"), 2, "/name: it holds control characters. Leave them out."),
        (("projects", "create", "Other", "--time-zone", "Mars/Olympus"), 2, "is no time zone"),
        (("projects", "create", "Other", "--time-zone", "america/new york"), 2, "Did you mean America/New_York?"),
        (("projects", "create", "Other", "--time-zone", "Kathmandu"), 2, "Did you mean Asia/Kathmandu?"),
        (("projects", "create", "Other", "--time-zone", "localtime"), 2, "'localtime' is no time zone."),
        (("keys", "create", "--project", "absent"), 1, "no project with the id 'absent'"),
        (("keys", "create", "--scope", "everything"), 2, "'everything' is no scope"),
        (("keys", "create", "--name", ""), 2, "/name: it is empty."),
        (("keys", "create", "--name", "k" * 201), 2, "/name: it has 201 characters. At most 200 are allowed."),
        (("keys", "create", "--name", "two\nlines"), 2, "/name: it holds control characters. Leave them out."),
        (("keys", "revoke", "absent"), 1, "absent"),
        (("keys", "roll", "absent"), 1, "absent"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(
    scorekeeper: Scorekeeper, arguments: tuple[str, ...], code: int, said: str
) -> None:
    scorekeeper("projects", "create", "Shop")
    ended = scorekeeper(*arguments)
    assert ended.code == code
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_a_name_may_be_as_long_as_other_names(scorekeeper: Scorekeeper) -> None:
    name = "n" * 200
    assert scorekeeper("projects", "create", name).code == 0
    assert [project["name"] for project in scorekeeper("projects", "list", "--json").json()] == [name]


def test_a_key_is_listed_rolled_and_revoked(scorekeeper: Scorekeeper) -> None:
    scorekeeper("projects", "create", "Shop")
    made = scorekeeper("keys", "create", "--name", "ingest only", "--scope", "ingest", "--json").json()
    rolled = scorekeeper("keys", "roll", made["id"], "--json").json()
    assert rolled["apiKey"] != made["apiKey"]
    assert rolled["scopes"] == ["ingest"]
    assert scorekeeper("keys", "revoke", rolled["id"]).code == 0
    listed = {key["id"]: key for key in scorekeeper("keys", "list", "--json").json()}
    assert listed[made["id"]]["expiresAt"] is not None
    assert listed[rolled["id"]]["revokedAt"] is not None


def test_with_several_projects_one_has_to_be_named(scorekeeper: Scorekeeper) -> None:
    scorekeeper("projects", "create", "One")
    scorekeeper("projects", "create", "Two")
    ended = scorekeeper("keys", "create")
    assert ended.code == 1
    assert "--project: one, two" in ended.err


def test_migrate_may_be_repeated(scorekeeper: Scorekeeper) -> None:
    assert scorekeeper("migrate", "--json").json()["applied"] >= 1
    assert scorekeeper("migrate").out == "the database is up to date\n"


def test_a_database_that_lacks_migrations_is_told_to_be_migrated(
    scorekeeper: Scorekeeper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SCOREKEEPER_DATABASE", f"sqlite:///{tmp_path / 'server.db'}")
    ended = scorekeeper("projects", "list")
    assert ended.code == 2
    assert "run `scorekeeper migrate`" in ended.err
    scorekeeper("migrate")
    assert scorekeeper("projects", "list").out.startswith("There is no project yet")


@pytest.mark.parametrize("command", ["publish", "wait", "status", "goals", "worker", "topics list"])
def test_without_servers_a_command_says_how_to_get_them(scorekeeper: Scorekeeper, command: str) -> None:
    scorekeeper("projects", "create", "Shop")
    ended = scorekeeper(*command.split())
    assert ended.code == 1
    assert "nothing is running in .scorekeeper: start `scorekeeper up` there, or set SCOREKEEPER_" in ended.err
