"""A catalog that takes over what did not change is the one that is made of everything."""

from __future__ import annotations

import random
from collections.abc import Sequence
from weakref import ref

from hypothesis import given
from hypothesis import strategies as st

from app.domain.catalog import Catalog, build_catalog
from app.domain.folding import Folder
from app.domain.history import DefinitionHistory, DefinitionVersion, Project
from app.domain.type_index import PathMemory
from tests.builders import NOW, POSITION, RULES, conversion_goal, event, goal, records, version

KEYS = ("books", "shop", "toys")
PROJECTS = [Project(key, key, "UTC", 0) for key in KEYS]
PATHS = ("/a", "/b", "/c/d", "")


def definitions(project: str, chance: random.Random) -> list[DefinitionVersion]:
    """Some of one project: plain ones, ones that are filled from the log, and one that does not compile."""
    some = [
        conversion_goal(
            f"{project}-c{number}",
            chance.choice(["purchase", "visit"]),
            metric=chance.choice("mn"),
            **({"urlPattern": path} if (path := chance.choice(PATHS)) else {}),
        )
        for number in range(chance.randrange(4))
    ]
    some += [
        goal(f"{project}-g{number}", metric=chance.choice("mn"), backfill=chance.random() < 0.3)
        for number in range(chance.randrange(3))
    ]
    if chance.random() < 0.3:
        some.append(version("conversion_goal", f"{project}-broken", {"name": "no type"}))
    return [
        DefinitionVersion(one.kind, one.id, project, one.revision, 0, one.effective_until, 0, one.body) for one in some
    ]


def folded(by: Catalog, log: Sequence[bytes]) -> object:
    filled = dict.fromkeys(sorted(by.backfills), 0)
    return Folder(by, RULES).fold(POSITION, records(log), [0], len(log), NOW, filled)


@given(chance=st.randoms(use_true_random=False))
def test_what_did_not_change_is_taken_over_and_nothing_differs(chance: random.Random) -> None:
    present = {key: definitions(key, chance) for key in KEYS[:2]}
    log = [
        event(str(number), chance.choice(["purchase", "visit"]), chance.choice(KEYS), url=chance.choice(PATHS) or None)
        for number in range(20)
    ]
    stepwise = build_catalog(DefinitionHistory(1, NOW, PROJECTS[:2], [one for own in present.values() for one in own]))
    for revision in range(2, 6):
        folded(stepwise, log)  # so that pages are remembered
        changed = {key for key in KEYS if chance.random() < 0.4}
        present |= {key: definitions(key, chance) for key in changed}
        owners = [project for project in PROJECTS if project.key in present]
        some = [one for key in sorted(changed) for one in present[key]]
        before = stepwise
        stepwise = build_catalog(DefinitionHistory(revision, NOW, owners, some, changed), before)
        whole = build_catalog(
            DefinitionHistory(revision, NOW, owners, [one for own in present.values() for one in own])
        )
        assert all(stepwise.projects[key] is before.projects[key] for key in before.projects.keys() - changed)
        assert folded(stepwise, log) == folded(whole, log)
        assert {key: view.goals for key, view in stepwise.projects.items()} == {
            key: view.goals for key, view in whole.projects.items()
        }
        assert stepwise.backfills == whole.backfills
        assert {one.version.id for one in stepwise.left_out} == {one.version.id for one in whole.left_out}


def test_a_project_that_begins_later_than_was_said_keeps_its_definitions() -> None:
    before = build_catalog(DefinitionHistory(1, NOW, PROJECTS[:1], [conversion_goal("c", "visit")]))
    moved = Project("books", "books", "UTC", NOW)
    after = build_catalog(DefinitionHistory(2, NOW, [moved], [], changed=()), before)
    assert after.projects["books"].project == moved
    assert after.projects["books"].by_type is before.projects["books"].by_type


def test_pages_of_all_indexes_together_have_one_bound_and_those_of_an_index_that_is_gone_are_not_kept() -> None:
    memory = PathMemory(most=4)
    opened, gone = [memory.open(), memory.open()], memory.open()
    of_no_index = ref(gone)
    del gone
    assert of_no_index() is None
    for number in range(9):
        for pages in opened:
            memory.count_one()
            pages[f"/{number}"] = ()
        assert 0 < sum(map(len, opened)) <= 5
