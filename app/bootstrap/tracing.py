"""Spans for an OpenTelemetry collector, when SCOREKEEPER_TRACES names one; else nothing of OpenTelemetry is loaded.

A span is written when its work is done, so that what is traced costs the same with and without. The names of the
attributes are those of OpenTelemetry's semantic conventions for HTTP servers and for Kafka consumers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.domain.increments import Position
from app.errors import InvalidSettings
from app.tracking import Outcome

if TYPE_CHECKING:
    from opentelemetry.context import Context

log = logging.getLogger(__name__)

EXPORT_SECONDS = 5.0


class Tracer:
    """Raises InvalidSettings where its packages are not installed. From then on it neither blocks nor raises: spans
    that the collector does not take are dropped, and the log says so."""

    def __init__(self, collector: str, process: str) -> None:
        # Packages that most do without.
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise InvalidSettings(
                f"SCOREKEEPER_TRACES: {error}: install what it needs with "
                "`pip install --require-hashes -r requirements/tracing.txt`"
            ) from error

        self._provider = TracerProvider(resource=Resource.create({"service.name": f"scorekeeper-{process}"}))
        exporter = OTLPSpanExporter(endpoint=f"{collector.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("scorekeeper")

    def note_request(self, method: str, route: str, status: int, seconds: float, headers: Mapping[str, str]) -> None:
        """One request; `headers` may hold the caller's `traceparent`. Status 0: the client left before the answer."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        attributes: dict[str, Any] = {"http.request.method": method, "http.route": route}
        if status:
            attributes["http.response.status_code"] = status
        context = TraceContextTextMapPropagator().extract(headers)
        self._note(f"{method} {route}", SpanKind.SERVER, seconds, attributes, context, is_error=status >= 500)

    def note_batch(self, position: Position, outcome: Outcome, seconds: float) -> None:
        """One counted batch."""
        from opentelemetry.trace import SpanKind

        attributes = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.name": position.topic,
            "messaging.destination.partition.id": str(position.partition),
            "messaging.batch.message_count": outcome.received,
            "scorekeeper.checkpoint": outcome.checkpoint,
            "scorekeeper.counted": outcome.counted,
            "scorekeeper.duplicate": outcome.duplicate,
            "scorekeeper.unmatched": outcome.unmatched,
            "scorekeeper.rejected": sum((outcome.rejected or {}).values()),
        }
        self._note(f"process {position.topic}", SpanKind.CONSUMER, seconds, attributes, None)

    def _note(
        self,
        name: str,
        kind: Any,
        seconds: float,
        attributes: Mapping[str, Any],
        context: Context | None,
        *,
        is_error: bool = False,
    ) -> None:
        from opentelemetry.trace import Status, StatusCode

        end = time.time_ns()
        span = self._tracer.start_span(
            name, context=context, kind=kind, attributes=attributes, start_time=end - int(seconds * 1e9)
        )
        if is_error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def close(self) -> None:
        """Send what is left, if the collector takes it within some seconds. Blocks."""
        self._provider.force_flush(int(EXPORT_SECONDS * 1000))
        self._provider.shutdown()


def make_tracer(collector: str | None, process: str) -> Tracer | None:
    """None where no collector is set."""
    return Tracer(collector, process) if collector is not None else None
