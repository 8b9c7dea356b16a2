"""Which conversion-goal definitions are valid, what they become, and what is said of the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.conversion_goal import (
    FOREVER,
    ConversionGoal,
    Counting,
    DefinitionStatus,
    compile_conversion_goal,
    metric_slug,
)
from app.errors import InvalidDefinition

LEAST: dict[str, object] = {"name": "Trial Signup", "eventType": "form_submit"}


def compiled(**fields: object) -> ConversionGoal:
    return compile_conversion_goal({**LEAST, **fields}, ident="c1", project="p")


def test_the_two_required_fields_are_enough() -> None:
    goal = compiled()
    assert (goal.id, goal.project, goal.name, goal.event_type) == ("c1", "p", "Trial Signup", "form_submit")
    assert goal.metric == "trial_signup"
    assert goal.url_pattern is None
    assert goal.condition is None
    assert goal.counting is Counting.EVERY_EVENT
    assert goal.value_property is None
    assert goal.status is DefinitionStatus.ACTIVE
    assert (goal.effective_from, goal.effective_until) == (0, FOREVER)


def test_every_field_is_compiled() -> None:
    goal = compiled(
        urlPattern="/signup/:step",
        conditions={"plan": "pro"},
        metric="signups",
        counting="once_per_visitor",
        valueProperty="order.total",
        status="paused",
    )
    assert goal.url_pattern is not None
    assert goal.url_pattern.matches("https://example.com/signup/done?a=1")
    assert goal.condition is not None
    assert goal.condition.matches({"plan": "pro"})
    assert goal.metric == "signups"
    assert goal.counting is Counting.ONCE_PER_VISITOR
    assert goal.value_property == ("order", "total")
    assert goal.status is DefinitionStatus.PAUSED


@pytest.mark.parametrize("name", ["urlPattern", "conditions", "metric", "counting", "valueProperty", "status"])
def test_null_stands_for_an_absent_field(name: str) -> None:
    assert compiled(**{name: None}) == compiled()


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"name": None}, "/name", "missing"),
        ({"name": " "}, "/name", "empty"),
        ({"name": "\u200b"}, "/name", "invisible"),
        ({"name": "\u3164\u00a0\ufe0f\u2060"}, "/name", "invisible"),
        ({"name": 5}, "/name", "a number, not a string"),
        ({"name": "x" * 201}, "/name", "201 characters"),
        ({"name": "a\x00b"}, "/name", "control characters"),
        ({"name": "a\nb"}, "/name", "control characters"),
        ({"name": "\ud800"}, "/name", "control characters"),
        ({"eventType": None}, "/eventType", "missing"),
        ({"eventType": "\u200b"}, "/eventType", "invisible"),
        ({"eventType": ["a"]}, "/eventType", "an array, not a string"),
        ({"eventType": "x" * 201}, "/eventType", "201 characters"),
        ({"metric": " "}, "/metric", "empty"),
        ({"metric": "\u200b"}, "/metric", "empty"),
        ({"metric": True}, "/metric", "a boolean"),
        ({"urlPattern": 7}, "/urlPattern", "not a string"),
        ({"urlPattern": "/a/:"}, "/urlPattern", "pattern"),
        ({"conditions": []}, "/conditions", "object"),
        ({"conditions": {"plan": {"$eqq": 1}}}, "/conditions/plan/$eqq", "$eq"),
        ({"counting": "per_visitor"}, "/counting", "Did you mean 'once_per_visitor'?"),
        ({"counting": "zzz"}, "/counting", "One of: every_event, once_per_session, once_per_visitor"),
        ({"counting": 1}, "/counting", "a number"),
        ({"status": "Paused"}, "/status", "Did you mean 'paused'?"),
        ({"valueProperty": "a..b"}, "/valueProperty", "empty"),
        ({"valueProperty": ""}, "/valueProperty", "empty"),
        ({"valueProperty": 5}, "/valueProperty", "not a string"),
        ({"valueProperty": "x" * 201}, "/valueProperty", "at most 200"),
        ({"eventtype": "x"}, "/eventtype", "Did you mean 'eventType'?"),
        ({"event_type": "x"}, "/event_type", "Did you mean 'eventType'?"),
        ({"condition": {}}, "/condition", "Did you mean 'conditions'?"),
        ({"zzz": 1}, "/zzz", "Known are: name, eventType"),
        ({"a/b~c": 1}, "/a~1b~0c", "no such field"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(fields: dict[str, object], pointer: str, words: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        compiled(**fields)
    assert caught.value.field == pointer
    assert words in str(caught.value)
    assert caught.value.remedy


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        compile_conversion_goal({"nam": "x", "counting": "never", "urlPattern": "no url", "conditions": {"$bad": 1}})
    others = [problem.field for problem in caught.value.others]
    assert caught.value.field == "/nam"
    assert others == ["/name", "/eventType", "/urlPattern", "/conditions/$bad", "/counting"]


@pytest.mark.parametrize("definition", [None, [], "x", 5])
def test_a_definition_is_an_object(definition: object) -> None:
    with pytest.raises(InvalidDefinition, match="not an object"):
        compile_conversion_goal(definition)  # type: ignore[arg-type]  # what a request may hold


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Trial Signup", "trial_signup"),
        ("  Trial -- Signup!  ", "trial_signup"),
        ("trial_signup", "trial_signup"),
        ("Käufe in München", "käufe_in_münchen"),
        ("購入 完了", "購入_完了"),
        ("Ｆｕｌｌ Width", "full_width"),
        ("100% done", "100_done"),
        ("🎉", "🎉"),
    ],
)
def test_the_default_metric_is_the_names_slug(name: str, slug: str) -> None:
    assert metric_slug(name) == slug


@pytest.mark.parametrize("name", ["\ufdfa" * 50, "\u0130" * 200, "_a" * 100])
def test_a_name_that_grows_as_a_slug_gives_a_metric_that_can_be_saved(name: str) -> None:
    made = compile_conversion_goal({**LEAST, "name": name}).metric
    assert compile_conversion_goal({**LEAST, "name": name, "metric": made}).metric == made


@given(st.text(min_size=1))
def test_the_slug_of_a_slug_is_itself(name: str) -> None:
    assert metric_slug(metric_slug(name)) == metric_slug(name)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
field_names = st.sampled_from(["name", "eventType", "urlPattern", "conditions", "metric", "counting", "valueProperty"])


@given(st.dictionaries(field_names | st.text(max_size=5), json_values, max_size=6))
def test_any_object_is_compiled_or_refused(definition: dict[str, object]) -> None:
    try:
        compile_conversion_goal(definition)
    except InvalidDefinition as problem:
        found = problem.field
    else:
        found = "/"
    assert found.startswith("/")
