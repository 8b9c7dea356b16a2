"""Servers that are locked as production locks them: Kafka behind SASL and TLS, Redis behind TLS and an ACL file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from app.embedded.ports import is_listening
from app.embedded.process import ChildProcess
from tests.servers.brokers import ApacheKafka
from tests.servers.ports import free_port
from tests.servers.redises import READY_SECONDS, redis_binary

USER = "scorekeeper"
PASSWORD = "correct-horse"
REDIS_RULES = "~sk:* ~{sk:* &sk:* +@all -@admin -@dangerous +info +keys +restore"
"""What our processes need of Redis; docs/how-to/real-servers.md says the same."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of the test run's own, and one certificate for this machine."""

    ca_file: Path
    certificate_file: Path
    key_file: Path
    together_file: Path

    @classmethod
    def make(cls, home: Path) -> Authority:
        home.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1", "localhost")
        made = cls(home / "ca.pem", home / "cert.pem", home / "key.pem", home / "together.pem")
        authority.cert_pem.write_to_path(str(made.ca_file))
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        # Kafka reads PKCS #8 only.
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        made.certificate_file.write_bytes(chain)
        made.key_file.write_bytes(key)
        made.together_file.write_bytes(key + chain)
        return made


class SecuredKafka:
    """An Apache Kafka that lets nobody in without TLS and a password, but for a plain door that only tests use."""

    def __init__(self, home: Path, authority: Authority) -> None:
        plain, controller, secured = free_port(), free_port(), free_port()
        modules = "org.apache.kafka.common.security"
        self.bootstrap = f"127.0.0.1:{secured}"
        self._kafka = ApacheKafka(
            home,
            plain,
            controller_quorum_voters=f"1@127.0.0.1:{controller}",
            listeners=f"PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SECURED://127.0.0.1:{secured}",
            advertised_listeners=f"PLAINTEXT://127.0.0.1:{plain},SECURED://127.0.0.1:{secured}",
            listener_security_protocol_map="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL",
            ssl_keystore_type="PEM",
            ssl_keystore_location=str(authority.together_file),
            sasl_enabled_mechanisms="PLAIN,SCRAM-SHA-512",
            **{
                "listener_name_secured_plain_sasl_jaas_config": f"{modules}.plain.PlainLoginModule required "
                f'user_{USER}="{PASSWORD}";',
                "listener_name_secured_scram-sha-512_sasl_jaas_config": f"{modules}.scram.ScramLoginModule required;",
            },
        )
        admin = KafkaAdminClient(bootstrap_servers=self._kafka.bootstrap)
        admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, ScramMechanism.SCRAM_SHA_512, PASSWORD)])
        admin.close()

    def stop(self) -> None:
        self._kafka.stop()


class SecuredRedis:
    """A Redis that speaks TLS alone and knows one user; `url` is for our settings."""

    def __init__(self, home: Path, authority: Authority) -> None:
        home.mkdir(parents=True, exist_ok=True)
        acl = home / "users.acl"
        acl.write_text(f"user default off\nuser {USER} on >{PASSWORD} {REDIS_RULES}\n")
        port = free_port()
        self.url = f"rediss://{USER}:{PASSWORD}@127.0.0.1:{port}/0?ssl_ca_certs={authority.ca_file}"
        options = {
            "bind": "127.0.0.1",
            "port": "0",
            "tls-port": str(port),
            "tls-cert-file": str(authority.certificate_file),
            "tls-key-file": str(authority.key_file),
            "tls-ca-cert-file": str(authority.ca_file),
            "tls-auth-clients": "no",
            "aclfile": str(acl),
            "dir": str(home),
            "save": "",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = ChildProcess("redis-server", [redis_binary(), *arguments], home / "redis.log")
        self._process.wait_until(lambda: is_listening(port), READY_SECONDS)

    def stop(self) -> None:
        self._process.stop()
