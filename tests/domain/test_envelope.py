"""What headers say of the event they come with."""

from __future__ import annotations

import pytest

from app.domain.envelope import NO_ENVELOPE, read_headers


@pytest.mark.parametrize(
    ("replay", "ident", "only"),
    [
        (b"events@topic-id/3/42", "replay:events@topic-id/3/42", None),
        (b"events@topic-id/3/42/0", "replay:events@topic-id/3/42/0", 0),
        (b"events/3/42/17", "replay:events/3/42/17", 17),
        (b"events/3/42/x", "replay:events/3/42/x", None),
        (b"events/3/42/1/2", "replay:events/3/42/1/2", None),
        ("events/3/42/٣".encode(), "replay:events/3/42/٣", None),
        (b"by hand", "replay:by hand", None),
    ],
)
def test_a_replay_names_the_dead_letter_and_maybe_one_element(replay: bytes, ident: str, only: int | None) -> None:
    envelope = read_headers([("scorekeeper-replay", replay)])
    assert (envelope.ident, envelope.only) == (ident, only)


def test_of_equal_headers_the_first_with_a_value_counts() -> None:
    headers = [("project", None), ("project", b""), ("project", b"a"), ("project", b"b")]
    assert read_headers(headers).project == "a"


@pytest.mark.parametrize("headers", [[], [("traceparent", b"00-1-2-01")], [("ce_id", b"1")], [("Project", b"a")]])
def test_other_headers_say_nothing(headers: list[tuple[str, bytes]]) -> None:
    assert read_headers(headers) is NO_ENVELOPE


def test_only_ce_specversion_makes_a_cloud_event() -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_id", b"2"), ("Content-Type", b"text/json")]
    assert read_headers(headers).cloud_event == {"specversion": "1.0", "id": "1", "datacontenttype": "text/json"}
