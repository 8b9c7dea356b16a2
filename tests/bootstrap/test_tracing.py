from __future__ import annotations

import sys

import pytest

from app.bootstrap.tracing import Tracer, make_tracer
from app.domain.increments import Position
from app.errors import InvalidSettings
from app.tracking import Outcome
from tests.servers.collector import attributes, spans
from tests.servers.ports import free_port
from tests.servers.receiver import receiving

OUTCOME = Outcome(checkpoint=40, counted=7, duplicate=2, unmatched=1, rejected={"invalid_json": 3}, received=13)
SERVER, CONSUMER = 2, 5
"""SpanKind in the protocol."""


def test_a_request_is_a_span_below_the_callers() -> None:
    with receiving() as collector:
        tracer = Tracer(f"http://127.0.0.1:{collector.port}/", "api")
        caller = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        tracer.note_request("GET", "/api/goals/{id}", 200, 0.25, caller)
        tracer.note_request("POST", "/api/goals", 503, 0.1, {})
        tracer.close()
        (service, first), (_, second) = spans(collector)
    assert service == "scorekeeper-api"
    assert (first.name, first.kind, first.status.code) == ("GET /api/goals/{id}", SERVER, 0)
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (
        "0af7651916cd43dd8448eb211c80319c",
        "b7ad6b7169203331",
    )
    assert first.end_time_unix_nano - first.start_time_unix_nano == 250_000_000
    assert attributes(first) == {
        "http.request.method": "GET",
        "http.route": "/api/goals/{id}",
        "http.response.status_code": 200,
    }
    assert (second.name, second.status.code, second.parent_span_id) == ("POST /api/goals", 2, b"")


def test_a_client_that_left_got_no_status() -> None:
    with receiving() as collector:
        tracer = Tracer(f"http://127.0.0.1:{collector.port}", "api")
        tracer.note_request("GET", "/api/goals/stream", 0, 9.0, {})
        tracer.close()
        ((_, span),) = spans(collector)
    assert attributes(span) == {"http.request.method": "GET", "http.route": "/api/goals/stream"}


def test_a_batch_is_a_span_with_what_it_came_to() -> None:
    with receiving() as collector:
        tracer = Tracer(f"http://127.0.0.1:{collector.port}", "worker")
        tracer.note_batch(Position("events", 3, "i"), OUTCOME, 0.5)
        tracer.close()
        ((service, span),) = spans(collector)
    assert (service, span.name, span.kind) == ("scorekeeper-worker", "process events", CONSUMER)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 500_000_000
    assert attributes(span) == {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": "events",
        "messaging.destination.partition.id": "3",
        "messaging.batch.message_count": 13,
        "scorekeeper.checkpoint": 40,
        "scorekeeper.counted": 7,
        "scorekeeper.duplicate": 2,
        "scorekeeper.unmatched": 1,
        "scorekeeper.rejected": 3,
    }


def test_a_collector_that_is_away_raises_nothing() -> None:
    tracer = Tracer(f"http://127.0.0.1:{free_port()}", "worker")
    tracer.note_batch(Position("events", 3, "i"), OUTCOME, 0.5)
    tracer.close()


def test_who_sets_no_collector_needs_nothing_for_it() -> None:
    assert make_tracer(None, "worker") is None


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InvalidSettings, match=r"requirements/tracing\.txt"):
        make_tracer("http://collector:4318", "worker")
