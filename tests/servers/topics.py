"""What tests do to topics, and the product never does."""

from __future__ import annotations

from kafka import KafkaAdminClient


def delete_topic(bootstrap: str, name: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.delete_topics([name])
    finally:
        admin.close()


def add_partitions(bootstrap: str, name: str, total: int) -> None:
    """Grow the topic to `total` partitions."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_partitions({name: total})
    finally:
        admin.close()
