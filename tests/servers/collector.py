"""What an OpenTelemetry collector gets, read from what was really sent."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.servers.receiver import Receiver


def spans(receiver: Receiver) -> list[tuple[str, Any]]:
    """(service, span), in the order in which they came."""
    found = []
    for path, _, body in receiver.calls:
        assert path == "/v1/traces"
        for of_service in ExportTraceServiceRequest.FromString(body).resource_spans:
            (service,) = [it.value.string_value for it in of_service.resource.attributes if it.key == "service.name"]
            found += [(service, span) for scope in of_service.scope_spans for span in scope.spans]
    return found


def attributes(span: Any) -> dict[str, Any]:
    return {it.key: getattr(it.value, it.value.WhichOneof("value")) for it in span.attributes}
