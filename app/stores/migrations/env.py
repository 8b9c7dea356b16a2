"""Alembic's entry: runs on the connection that Database.migrate hands over."""

from __future__ import annotations

from alembic import context

from app.stores.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
