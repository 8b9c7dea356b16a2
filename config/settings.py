"""Every setting: name, unit, meaning, default. Values only; what is wired from them stands in app/bootstrap/.

A setting comes from the command line, else from the environment (`SCOREKEEPER_` and the name in capitals), else from
the TOML file that `--config` or SCOREKEEPER_CONFIG names, else it has its default. Nothing else is read, and nothing
changes after the start. `load` in loading.py is the way to get them.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX: Final = "SCOREKEEPER_"
CONFIG_VARIABLE: Final = "SCOREKEEPER_CONFIG"
"""Names the TOML file. Not a setting itself."""
DAY_MS: Final = 86_400_000
_TOPIC: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}")
LAST_PORT: Final = 65_535
_PORT: Final = re.compile("[0-9]{1,5}")
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")


class LogFormat(StrEnum):
    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class SecurityProtocol(StrEnum):
    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SaslMechanism(StrEnum):
    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


def _setting(default: Any, meaning: str, *, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=meaning, json_schema_extra={"unit": unit}, **limits)


class Settings(BaseSettings):
    """All settings, checked and frozen."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", validate_default=False
    )

    kafka: str | None = _setting(
        None, "Kafka's bootstrap servers; without it the embedded broker.", unit="host:port[,host:port]"
    )
    kafka_security_protocol: SecurityProtocol = _setting(
        SecurityProtocol.PLAINTEXT, "How connections to Kafka are secured."
    )
    kafka_sasl_mechanism: SaslMechanism = _setting(SaslMechanism.PLAIN, "How to sign in to Kafka.")
    kafka_sasl_username: str | None = _setting(None, "Who signs in to Kafka.")
    kafka_sasl_password: SecretStr | None = _setting(None, "The password for Kafka.")
    kafka_ssl_cafile: Path | None = _setting(None, "Certificates of the authorities that Kafka's are signed by.")
    redis: SecretStr | None = _setting(None, "Redis; without it the embedded one.", unit="URL")
    database: SecretStr | None = _setting(
        None, "Where definitions are kept; without it SQLite in the data directory.", unit="SQLAlchemy URL"
    )
    topic: str = _setting("events", "The topic that is counted, or several with commas.", min_length=1)
    dead_letter_topic: str | None = _setting(
        None, "Where messages go that can never be counted; by default `<first topic>.dead-letters`."
    )
    receipt_topic: str | None = _setting(
        None, "Where a receipt of each conversion is written, for example `conversions`; by default nowhere."
    )
    group: str = _setting("scorekeeper", "The consumer group that workers join.", min_length=1)
    partitions: int = _setting(4, "Partitions of a topic that we create.", ge=1, le=10_000)
    replication: int = _setting(-1, "Replicas of a topic that we create; -1 leaves it to the broker.", ge=-1, le=32_767)
    retention_days: float = _setting(
        40.0, "How long a topic that we create keeps messages.", unit="days", gt=0, le=1_000_000
    )
    data_dir: Path = _setting(Path(".scorekeeper"), "Everything embedded lives below it.", unit="path")
    host: str = _setting("127.0.0.1", "The address that the HTTP API listens on.", min_length=1)
    port: int = _setting(8000, "The port of the HTTP API; 0 takes a free one.", ge=0, le=LAST_PORT)
    metrics_port: int = _setting(
        0, "The port on which a worker shows its metrics, on `host`; 0 shows none.", ge=0, le=LAST_PORT
    )
    default_project: str | None = _setting(None, "The project of events that name none.")
    deduplication_window_days: float = _setting(
        7.0,
        "How long an event id is remembered, at least. Fixed when a generation begins.",
        unit="days",
        gt=0,
        le=1_000_000,
    )
    max_event_age_days: float = _setting(
        35.0, "Older events are rejected. Fixed when a generation begins.", unit="days", gt=0, le=1_000_000
    )
    max_event_ahead_seconds: float = _setting(
        300.0,
        "Events further in the future are rejected. Fixed when a generation begins.",
        unit="seconds",
        ge=0,
        le=1_000_000_000,
    )
    clock_allowance_seconds: float = _setting(
        1.0, "How far the broker's clock may be ahead of the database's.", unit="seconds", ge=0, le=86_400
    )
    stripes: int = _setting(
        1, "Over how many hash tags counters are spread. Fixed when a generation begins.", ge=1, le=1024
    )
    session_timeout_seconds: float = _setting(
        6.0, "After this silence of a worker others take its partitions.", unit="seconds", ge=1, le=600
    )
    poll_records: int = _setting(
        10_000, "The most messages that are taken at a time.", unit="messages", ge=1, le=100_000
    )
    fetch_bytes: int = _setting(
        2 * 1024 * 1024,
        "The most that is fetched of one partition at a time; of all that a worker reads together, 16 MiB.",
        unit="bytes",
        ge=1024,
        le=1024**3,
    )
    redis_timeout_seconds: float = _setting(5.0, "How long Redis may take to answer.", unit="seconds", gt=0, le=3_600)
    live_timeout_seconds: float = _setting(
        3.0, "How long a write waits until every worker runs the new definition.", unit="seconds", ge=0, le=3_600
    )
    status_on_track_ratio: float = _setting(
        0.90, "From this share of the expected progress on a goal is on track.", unit="ratio", ge=0, le=1
    )
    status_at_risk_ratio: float = _setting(
        0.75, "From this share on it is at risk, below it is behind.", unit="ratio", ge=0, le=1
    )
    status_grace_ratio: float = _setting(
        0.05, "In this first share of the time a goal is on track.", unit="ratio", ge=0, le=1
    )
    invalid_share_warning: float = _setting(
        0.05,
        "Above this share of events that can never be counted a worker warns; 1 never does.",
        unit="ratio",
        ge=0,
        le=1,
    )
    events_per_minute: int = _setting(
        1_000, "Events that one project may publish over HTTP; 0 sets no limit.", unit="per minute", ge=0
    )
    reads_per_minute: int = _setting(200, "Reads that one project may make; 0 sets no limit.", unit="per minute", ge=0)
    writes_per_minute: int = _setting(
        100, "Writes that one project may make; 0 sets no limit.", unit="per minute", ge=0
    )
    page_reads_per_minute: int = _setting(
        2_000,
        "Reads that the dashboards of one project may make together, beside `reads_per_minute`; 0 sets no limit.",
        unit="per minute",
        ge=0,
    )
    failed_keys_per_minute: int = _setting(
        30,
        "Wrong API keys from one address, after which it is refused for a while; 0 sets no limit.",
        unit="per minute",
        ge=0,
    )
    tls_certificate: Path | None = _setting(
        None, "The certificate chain (PEM) of the HTTP API; with `tls_key` it speaks HTTPS.", unit="path"
    )
    tls_key: Path | None = _setting(None, "The private key (PEM) of the certificate.", unit="path")
    trusted_proxies: str = _setting(
        "", "Addresses of proxies whose X-Forwarded-For and -Proto are believed, with commas.", unit="IP[,IP]"
    )
    access_log: bool = _setting(True, "Whether the HTTP API logs one line a request.")
    cors_origins: str = _setting("", "Origins of other pages that may use the API, with commas.", unit="URL[,URL]")
    alerts_allow_private: bool = _setting(
        False, "Whether alerts may go to addresses that are not public, and over plain HTTP."
    )
    traces: str | None = _setting(
        None,
        "The OpenTelemetry collector that gets a span for each request and batch, over OTLP/HTTP; none if not set.",
        unit="URL",
    )
    log_format: LogFormat = _setting(LogFormat.AUTO, "`text`, `json`, or by whether stderr is a terminal (`auto`).")
    log_level: LogLevel = _setting(LogLevel.INFO, "The least severe level that is logged.")

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that are counted, in order, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.topic.split(",") if name.strip()))

    @property
    def dead_letters(self) -> str:
        """The dead-letter topic's name."""
        return self.dead_letter_topic or f"{self.topics[0]}.dead-letters"

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins of other pages that may use the API."""
        return tuple(one.strip() for one in self.cors_origins.split(",") if one.strip())

    @property
    def own_topics(self) -> tuple[str, ...]:
        """Those that we write to."""
        return (self.dead_letters,) if self.receipt_topic is None else (self.dead_letters, self.receipt_topic)

    @model_validator(mode="after")
    def _check_topics(self) -> Settings:
        for variable, names in (
            ("SCOREKEEPER_TOPIC", self.topics),
            ("SCOREKEEPER_DEAD_LETTER_TOPIC", (self.dead_letters,) if self.topics else ()),
            ("SCOREKEEPER_RECEIPT_TOPIC", () if self.receipt_topic is None else (self.receipt_topic,)),
        ):
            for name in names:
                if not _TOPIC.fullmatch(name):
                    raise ValueError(
                        f"{variable}: {name!r} can be no topic's name; use letters a to z, digits, dots, _ and -, "
                        "at most 249, and not . or .. alone"
                    )
        return self

    @model_validator(mode="after")
    def _check_brokers(self) -> Settings:
        for broker in (self.kafka or "").split(","):
            _, colon, port = broker.strip().rpartition(":")
            if colon and not port.endswith("]") and not (_PORT.fullmatch(port) and 1 <= int(port) <= LAST_PORT):
                raise ValueError(
                    f"SCOREKEEPER_KAFKA: {broker.strip()!r} ends in no port; give host:port[,host:port], like "
                    f"kafka-1:9092, with ports from 1 to {LAST_PORT}"
                )
        return self

    @model_validator(mode="after")
    def _check_replication(self) -> Settings:
        if self.replication == 0:
            raise ValueError("SCOREKEEPER_REPLICATION is 0; give at least 1, or -1 to leave it to the broker")
        return self

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        if not self.topics:
            raise ValueError("SCOREKEEPER_TOPIC names no topic; give at least one name")
        if self.receipt_topic in (*self.topics, self.dead_letters):
            raise ValueError(
                "SCOREKEEPER_RECEIPT_TOPIC is another topic of ours; give it a name of its own, such as conversions"
            )
        if self.dead_letters in self.topics:
            raise ValueError(
                "SCOREKEEPER_DEAD_LETTER_TOPIC is also in SCOREKEEPER_TOPIC; dead letters would be counted again and "
                "again; give it a name of its own"
            )
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                "SCOREKEEPER_KAFKA_SECURITY_PROTOCOL asks for SASL; set SCOREKEEPER_KAFKA_SASL_USERNAME and "
                "SCOREKEEPER_KAFKA_SASL_PASSWORD too"
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError(
                "SCOREKEEPER_TLS_CERTIFICATE and SCOREKEEPER_TLS_KEY belong together; set both, or none for plain HTTP"
            )
        if self.traces is not None and not re.match(r"https?://[^/]", self.traces):
            raise ValueError(
                f"SCOREKEEPER_TRACES: {self.traces!r} is no address; give the collector's, like http://collector:4318"
            )
        wrong = [one for one in self.allowed_origins if not _ORIGIN.fullmatch(one)]
        if wrong:
            raise ValueError(
                f"SCOREKEEPER_CORS_ORIGINS: {wrong[0]!r} is no origin; give each as scheme://host[:port], like "
                "https://shop.example.com (no path, no wildcard)"
            )
        if self.status_at_risk_ratio > self.status_on_track_ratio:
            raise ValueError(
                "SCOREKEEPER_STATUS_AT_RISK_RATIO is above SCOREKEEPER_STATUS_ON_TRACK_RATIO; make it the smaller one"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        file = os.environ.get(CONFIG_VARIABLE)
        if not file:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(file))


def variable_of(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()
