"""Files for TLS that are not there, or are none: named before anything is tried with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from app.bootstrap.addresses import kafka_options
from app.bootstrap.certificates import require_certificate
from app.errors import InvalidSettings
from config.settings import SecurityProtocol, Settings


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A folder with a certificate, its key, that key with a password, and another key."""
    authority = trustme.CA()
    certificate, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "chain"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key"))
    other.private_key_pem.write_to_path(str(tmp_path / "other"))
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    (tmp_path / "locked").write_bytes(locked)
    (tmp_path / "text").write_text("text")
    return tmp_path


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("absent", "key", r"^SCOREKEEPER_TLS_CERTIFICATE: .*absent cannot be read \(No such file or directory\)"),
        ("chain", "absent", r"^SCOREKEEPER_TLS_KEY: .*absent cannot be read \(No such file or directory\)"),
        ("text", "key", "SCOREKEEPER_TLS_CERTIFICATE and SCOREKEEPER_TLS_KEY do not go together"),
        ("chain", "text", "SCOREKEEPER_TLS_CERTIFICATE and SCOREKEEPER_TLS_KEY do not go together"),
        ("chain", "other", "SCOREKEEPER_TLS_CERTIFICATE and SCOREKEEPER_TLS_KEY do not go together"),
        ("chain", "locked", "without a password"),
    ],
)
def test_a_certificate_or_key_that_cannot_be_used_is_named(pem: Path, certificate: str, key: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=said):
        require_certificate(Settings(tls_certificate=pem / certificate, tls_key=pem / key))


def test_a_certificate_with_its_key_is_taken(pem: Path) -> None:
    require_certificate(Settings(tls_certificate=pem / "chain", tls_key=pem / "key"))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("absent", r"^SCOREKEEPER_KAFKA_SSL_CAFILE: .*absent cannot be read \(No such file or directory\)"),
        ("text", "SCOREKEEPER_KAFKA_SSL_CAFILE: there is no certificate in"),
    ],
)
def test_authorities_that_kafka_cannot_be_checked_by_are_named(pem: Path, file: str, said: str) -> None:
    settings = Settings(kafka="127.0.0.1:1", kafka_security_protocol=SecurityProtocol.SSL, kafka_ssl_cafile=pem / file)
    with pytest.raises(InvalidSettings, match=said):
        kafka_options(settings, "test")


def test_authorities_are_not_looked_at_where_kafka_speaks_no_tls(pem: Path) -> None:
    assert kafka_options(Settings(kafka="127.0.0.1:1", kafka_ssl_cafile=pem / "absent"), "test").bootstrap
