"""How to sign in to Kafka: one set of options, in the words of each client."""

from __future__ import annotations

import ssl
from typing import Any

from app.streams.options import KafkaOptions


def kafka_python_security(options: KafkaOptions) -> dict[str, Any]:
    """Connection settings for kafka-python's clients."""
    found: dict[str, Any] = {"security_protocol": options.security_protocol}
    if options.security_protocol.endswith("SSL") and options.ssl_cafile:
        found["ssl_cafile"] = options.ssl_cafile
    return {**found, **_sasl(options)}


def aiokafka_security(options: KafkaOptions) -> dict[str, Any]:
    """Connection settings for aiokafka's clients."""
    found: dict[str, Any] = {"security_protocol": options.security_protocol}
    if options.security_protocol.endswith("SSL"):
        found["ssl_context"] = ssl.create_default_context(cafile=options.ssl_cafile)
    return {**found, **_sasl(options)}


def _sasl(options: KafkaOptions) -> dict[str, Any]:
    if not options.security_protocol.startswith("SASL"):
        return {}
    return {
        "sasl_mechanism": options.sasl_mechanism or "PLAIN",
        "sasl_plain_username": options.sasl_username,
        "sasl_plain_password": options.sasl_password,
    }
