"""One database, SQLite or PostgreSQL: connections, its clock, and drivers' errors turned into StoreUnavailable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import Connection, Engine, Select, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from app.errors import InvalidSettings, StoreUnavailable
from app.stores.tables import REVISIONS

if TYPE_CHECKING:
    from alembic.config import Config

T = TypeVar("T")

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_SECONDS = 2.0
_STATEMENT_SECONDS = 5.0
_SILENT_SECONDS = 2.0
"""Beyond what a statement may take: then the server does not work at all."""
_SINGLE: Final = "is_single"


class Database:
    """A pool of connections. Blocking: an async caller uses a thread. Raises StoreUnavailable, InvalidSettings.

    `patience_seconds` bounds every wait for a connection, a lock or a statement.
    """

    def __init__(self, url: str, *, patience_seconds: float | None = None) -> None:
        self.url = url
        self.engine = _engine(url, patience_seconds)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        alone = {_SINGLE: True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._single = self.engine.execution_options(**alone)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of everything."""
        with _store_errors(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    def value(self, query: Select[T]) -> T:
        """The one value that a query gives. It sees one state by itself: no transaction is begun around it."""
        with _store_errors(), self._single.connect() as connection:
            return connection.execute(query).scalar_one()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed at its end, or undone when anything is raised."""
        with (
            _store_errors(),
            self.engine.connect() as connection,
            connection.execution_options(is_write=True).begin(),
        ):
            yield connection

    def now(self, connection: Connection) -> int:
        """The database's clock, epoch ms."""
        if self.is_sqlite:
            query = "SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
        else:
            query = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
        return int(connection.execute(text(query)).scalar_one())

    def close(self) -> None:
        """End all connections; one that a thread still uses ends when it is given back. May be repeated."""
        event.listen(self.engine, "checkin", _end_connection)
        self.engine.dispose()

    # -- migrations

    def migrate(self) -> None:
        """Bring the schema to this version's. May be repeated, and run by several processes at once."""
        if self.pending_migrations() == 0:
            return
        # Imported where it is used: a worker never migrates, and Alembic costs its start 0.2 s and 10 MiB.
        from alembic import command

        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(7310561)"))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def pending_migrations(self) -> int:
        """How many migrations are missing; negative when the schema is newer than this version knows."""
        # Read without Alembic: each command and each process asks.
        with self.read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return len(REVISIONS)
            present = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
        if present is None:
            return len(REVISIONS)
        return len(REVISIONS) - 1 - REVISIONS.index(present) if present in REVISIONS else -1


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _engine(url: str, patience_seconds: float | None) -> Engine:
    busy_seconds = min(_BUSY_SECONDS, patience_seconds or _BUSY_SECONDS)
    statement_ms = int((patience_seconds or _STATEMENT_SECONDS) * 1000)
    busy_ms = int(busy_seconds * 1000)
    try:
        address = make_url(url)
        if address.get_backend_name() == "sqlite":
            engine = create_engine(address, connect_args={"timeout": busy_seconds, "check_same_thread": False})
            _prepare_sqlite(engine, busy_ms)
            return engine
        engine = create_engine(
            address,
            pool_pre_ping=True,
            pool_size=5,
            max_overflow=15,
            pool_timeout=busy_seconds,
            connect_args={
                "connect_timeout": 2,
                # A cluster that was made without a locale answers in bytes otherwise.
                "client_encoding": "utf8",
                "application_name": "scorekeeper",
                "options": f"-c statement_timeout={statement_ms} -c lock_timeout={busy_ms}",
            },
        )
        if address.get_driver_name() == "psycopg":
            from app.stores.postgres import give_up_silent_servers

            give_up_silent_servers(engine, statement_ms / 1000 + _SILENT_SECONDS)
        return engine
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        # The last one: SQLAlchemy knows the database, and its driver is not installed.
        message = (
            f"SCOREKEEPER_DATABASE is not an address we can use ({error}); try postgresql+psycopg://user@host/name"
        )
        raise InvalidSettings(message) from error
    except ValueError as error:
        # Its text is not repeated: what is taken for the port may be a part of the password.
        raise InvalidSettings(
            "SCOREKEEPER_DATABASE is not an address we can use (its port is no number); try "
            "postgresql+psycopg://user@host/name, with what is special in a password percent-encoded"
        ) from error


def _prepare_sqlite(engine: Engine, busy_ms: int) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={busy_ms}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get(_SINGLE, False):
            # A write takes its lock at once: a reader that becomes a writer could not wait for it.
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("is_write", False) else "BEGIN")


def _end_connection(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.invalidate()


def can_be_stored(ident: str) -> bool:
    """Whether something can have this id. PostgreSQL has no U+0000, and refuses to be asked about it."""
    return "\0" not in ident


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except DataError:
        raise  # the database answers; to ask it again would change nothing
    except (DBAPIError, PoolTimeoutError, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        raise StoreUnavailable("sql", f"{type(cause).__name__}: {str(cause).strip().splitlines()[0]}") from error
