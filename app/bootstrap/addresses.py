"""Where each server is: as a setting says, else what `scorekeeper up` runs in the data directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.bootstrap.certificates import require_authorities
from app.embedded.running import Running, find_record
from app.errors import EmbeddedUnavailable, InvalidSettings
from app.streams.options import KafkaOptions
from config.loading import SettingsError, load
from config.settings import Settings


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this process. Raises InvalidSettings."""
    try:
        return load(overrides)
    except SettingsError as error:
        raise InvalidSettings(str(error)) from error


def kafka_address(settings: Settings) -> str:
    """`host:port[,host:port]`. Raises EmbeddedUnavailable when none is set and none is running."""
    return settings.kafka or _running(settings, "SCOREKEEPER_KAFKA").kafka


def redis_url(settings: Settings) -> str:
    """Raises EmbeddedUnavailable when none is set and none is running."""
    return settings.redis.get_secret_value() if settings.redis else _running(settings, "SCOREKEEPER_REDIS").redis


def database_url(settings: Settings) -> str:
    """SQLite in the data directory when none is set."""
    if settings.database is not None:
        return settings.database.get_secret_value()
    return f"sqlite:///{settings.data_dir.resolve() / 'scorekeeper.db'}"


def kafka_options(settings: Settings, client_id: str) -> KafkaOptions:
    """How to reach Kafka and read from it. Raises EmbeddedUnavailable, InvalidSettings."""
    require_authorities(settings)
    password = settings.kafka_sasl_password
    return KafkaOptions(
        bootstrap=kafka_address(settings),
        topics=settings.topics,
        group=settings.group,
        client_id=client_id,
        session_timeout_seconds=settings.session_timeout_seconds,
        poll_records=settings.poll_records,
        fetch_bytes=settings.fetch_bytes,
        security_protocol=settings.kafka_security_protocol.value,
        sasl_mechanism=settings.kafka_sasl_mechanism.value,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
        ssl_cafile=str(settings.kafka_ssl_cafile) if settings.kafka_ssl_cafile else None,
    )


def _running(settings: Settings, variable: str) -> Running:
    running = find_record(settings.data_dir)
    if running is None:
        raise EmbeddedUnavailable(
            f"nothing is running in {settings.data_dir}: start `scorekeeper up` there, or set {variable}"
        )
    return running
