"""What is exported is what is read again, whatever the texts look like."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.yaml_source import read_documents, write_documents

LOOKS_LIKE_MORE = (
    *("1e5", "12e3", "1.5e3", "-0", "+1", "0", "007", "1_000", "0x1F", "1:30", ".5", "1.", ".inf", "9" * 5000),
    *("true", "tRUE", "FALSE", "yes", "NO", "on", "null", "nULL", "~", "", " ", "=", "<<", "-", "?", "- a", "a: b"),
    *("2027-12-31", "!!str a", "&a", "*a", "#", "a #b", "%a", "@a", "`a", "|", ">", "\ta", "a\n", "\n a", "a  \n\n b"),
    *("\x00", "\x85", "\u2028", "\ufeff", "\U0010ffff", "---", "...", "{a", "[a", "'", '"', "a'b\"c\\\\d"),
)
texts = st.sampled_from(LOOKS_LIKE_MORE) | st.text() | st.from_regex(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")
scalars = texts | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


@given(st.lists(st.dictionaries(texts, values, min_size=1, max_size=3), max_size=2))
def test_what_is_written_is_read_as_the_same(documents: list[dict[str, object]]) -> None:
    found = [document.value for document in read_documents(write_documents(documents))]
    assert json.dumps(found) == json.dumps(documents)


@pytest.mark.parametrize("text", LOOKS_LIKE_MORE)
def test_a_text_that_looks_like_something_else_stays_one(text: str) -> None:
    (document,) = read_documents(write_documents([{"sku": text, text: [text]}]))
    assert document.value == {"sku": text, text: [text]}
