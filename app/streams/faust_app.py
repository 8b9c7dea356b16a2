"""The Faust app: settings that work together, with our consumer."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.tables import TableManager
from faust.types.auth import SASLMechanism
from mode.supervisors import CrashingSupervisor

from app.streams.batches import Undecoded
from app.streams.consumer import BatchTransport, Partitions
from app.streams.options import KafkaOptions as KafkaOptions


class NoTables(TableManager):
    """We have no tables: Faust's own manager waits a second for some to be declared, and only then joins the group."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class ScorekeeperApp(faust.App):
    """A Faust app whose consumer hands on runs of records. `partitions` is set before it starts."""

    partitions: Partitions

    closing: Callable[[], Awaitable[None]]
    """Called when everything else has stopped."""

    async def on_stop(self) -> None:
        await super().on_stop()
        await self.closing()

    def _new_transport(self) -> Any:
        return BatchTransport(self.conf.broker_consumer, self)


def make_app(options: KafkaOptions, data_dir: Path) -> ScorekeeperApp:
    """The app, not started. Nothing is sent before it starts."""
    credentials = broker_credentials(options)
    return ScorekeeperApp(
        options.group,
        broker=[f"kafka://{address}" for address in options.bootstrap.split(",")],
        broker_credentials=credentials,
        broker_client_id=options.client_id,
        origin="agents",
        autodiscover=False,
        datadir=str(data_dir),
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        TableManager=NoTables,
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        broker_max_poll_records=options.poll_records,
        consumer_max_fetch_size=options.fetch_bytes,
        consumer_auto_offset_reset="none",
        consumer_metadata_max_age_ms=5_000,
        broker_session_timeout=options.session_timeout_seconds,
        broker_heartbeat_interval=options.session_timeout_seconds / 4,
        broker_rebalance_timeout=max(options.session_timeout_seconds, 6.0),
        broker_request_timeout=max(10.0, options.session_timeout_seconds + 1.0),
        broker_commit_interval=1.0,
        broker_max_poll_interval=300.0,
        agent_supervisor=CrashingSupervisor,
        Schema=Undecoded,
        producer_acks=-1,
    )


def broker_credentials(options: KafkaOptions) -> Any:
    """Faust's credentials for the security protocol; None for PLAINTEXT."""
    protocol = options.security_protocol.upper()
    if protocol == "PLAINTEXT":
        return None
    context = ssl.create_default_context(cafile=options.ssl_cafile) if protocol.endswith("SSL") else None
    if protocol == "SSL":
        return SSLCredentials(context)
    return SASLCredentials(
        username=options.sasl_username,
        password=options.sasl_password,
        mechanism=SASLMechanism(options.sasl_mechanism or "PLAIN"),
        ssl_context=context,
    )
