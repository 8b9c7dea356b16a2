"""Certificates and keys that settings name: looked at before they are used, so that a wrong one is named."""

from __future__ import annotations

import ssl
from pathlib import Path

from app.errors import InvalidSettings
from config.settings import Settings, variable_of


def require_certificate(settings: Settings) -> None:
    """Raises InvalidSettings when the HTTP API could not speak TLS with what the settings name."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return
    for name, file in (("tls_certificate", certificate), ("tls_key", key)):
        _require_readable(variable_of(name), file)
    try:
        # A password that is none: without it one would be asked for at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise InvalidSettings(
            f"SCOREKEEPER_TLS_CERTIFICATE and SCOREKEEPER_TLS_KEY do not go together ({error.reason or 'no PEM'}): "
            "name a PEM file with a certificate chain, and one with its private key, without a password"
        ) from None


def require_authorities(settings: Settings) -> None:
    """Raises InvalidSettings when Kafka's certificates could not be checked by what the settings name."""
    file = settings.kafka_ssl_cafile
    if file is None or not settings.kafka_security_protocol.endswith("SSL"):
        return
    variable = variable_of("kafka_ssl_cafile")
    _require_readable(variable, file)
    try:
        ssl.create_default_context(cafile=file)
    except ssl.SSLError:
        raise InvalidSettings(f"{variable}: there is no certificate in {file}; name a PEM file of them") from None


def _require_readable(variable: str, file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise InvalidSettings(f"{variable}: {file} cannot be read ({error.strerror}); name a PEM file") from None
