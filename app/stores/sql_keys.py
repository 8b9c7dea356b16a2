"""API keys and sessions in SQL. A secret is shown once and stored as a keyed hash only.

A secret has 256 random bits, so that a plain keyed hash is enough: there is nothing to guess. How a key reads stands in
api_key.py of the domain.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets as random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Row, insert, select, update

from app.domain.api_key import SESSION_SECONDS, key_text, parse_key
from app.errors import Conflict, InvalidApiKey, NotFound
from app.stores.auditing import COMMAND_LINE, write_audit
from app.stores.database import Database
from app.stores.tables import api_keys, projects, secrets, sessions
from app.stores.version_rows import wait_in_line

SCOPES = ("read", "write", "ingest", "admin")
"""What a key may do when nothing else is said."""
OPERATOR = "operator"
"""Sees and changes what belongs to all projects together. Given by name only."""
_USED_EVERY_MS = 60_000


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who asks, and what he may do. Times are epoch ms."""

    id: str
    project: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None

    def may(self, scope: str) -> bool:
        """`admin` includes every scope within the project."""
        return scope in self.scopes or (scope != OPERATOR and "admin" in self.scopes)


def _random_part(number_of_bytes: int) -> str:
    """So many random bytes in letters and digits that are easy to select and to read out."""
    return base64.b32encode(random.token_bytes(number_of_bytes)).decode().rstrip("=").lower()


class SqlKeys:
    """Blocking. Raises StoreUnavailable, and what each method says. Every change is one transaction with its audit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pepper: bytes | None = None

    def create(
        self, project: str, *, name: str = "", scopes: Sequence[str] = SCOPES, expires_at: int | None = None
    ) -> tuple[ApiKey, str]:
        """A new key and its text, which is not kept. Raises NotFound for an unknown project."""
        secret, secret_hash = self._new_secret()
        with self._database.write() as connection:
            if connection.execute(select(projects.c.key).where(projects.c.key == project)).one_or_none() is None:
                raise NotFound("project", project)
            now = self._database.now(connection)
            key = ApiKey(_random_part(8), project, name, tuple(scopes), now, expires_at)
            self._insert(connection, key, secret_hash)
            self._audit(connection, "create", now, None, key)
        return key, key_text(key.id, secret)

    def authenticate(self, text: str) -> ApiKey:
        """The live key with this text. Raises InvalidApiKey."""
        ident, secret = parse_key(text)
        secret_hash = self._hash(secret)
        with self._database.read() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.id == ident)).one_or_none()
            wanted = row.secret_hash if row is not None else "0" * 64
            if not hmac.compare_digest(wanted, secret_hash) or row is None:
                raise InvalidApiKey("this API key is not known")
            now = self._database.now(connection)
        key = _key(row)
        _require_live(key, now)
        if now - (key.last_used_at or 0) > _USED_EVERY_MS:
            with self._database.write() as connection:
                connection.execute(update(api_keys).where(api_keys.c.id == ident).values(last_used_at=now))
        return key

    def list(self, project: str) -> Sequence[ApiKey]:
        with self._database.read() as connection:
            query = select(api_keys).where(api_keys.c.project == project).order_by(api_keys.c.created_at)
            return [_key(row) for row in connection.execute(query)]

    def revoke(self, ident: str) -> ApiKey:
        """End the key now; its sessions end with it. Raises NotFound, Conflict when it was ended before."""
        with self._database.write() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.id == ident)).one_or_none()
            if row is None:
                raise NotFound("API key", ident)
            if row.revoked_at is not None:
                raise Conflict(f"the API key {ident} is revoked already")
            now = self._database.now(connection)
            connection.execute(update(api_keys).where(api_keys.c.id == ident).values(revoked_at=now))
            connection.execute(sessions.delete().where(sessions.c.api_key == ident))
            key = _key(row)
            self._audit(connection, "revoke", now, key, replace(key, revoked_at=now))
            return key

    def roll(self, ident: str, grace_ms: int) -> tuple[ApiKey, str]:
        """A new key with the old one's name and scopes; the old one ends after `grace_ms`, or when it would have ended
        anyway. Raises NotFound, also of one that has ended."""
        secret, secret_hash = self._new_secret()
        with self._database.write() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.id == ident)).one_or_none()
            now = self._database.now(connection)
            if row is None or not _is_live(old := _key(row), now):
                raise NotFound("live API key", ident)
            ends = now + grace_ms if old.expires_at is None else min(now + grace_ms, old.expires_at)
            connection.execute(update(api_keys).where(api_keys.c.id == ident).values(expires_at=ends))
            self._audit(connection, "roll", now, old, replace(old, expires_at=ends))
            key = ApiKey(_random_part(8), old.project, old.name, old.scopes, now)
            self._insert(connection, key, secret_hash)
            self._audit(connection, "create", now, None, key)
        return key, key_text(key.id, secret)

    def _new_secret(self) -> tuple[str, str]:
        """A secret and its hash."""
        secret = _random_part(32)
        return secret, self._hash(secret)

    def _insert(self, connection: Connection, key: ApiKey, secret_hash: str) -> None:
        connection.execute(
            insert(api_keys).values(
                id=key.id,
                project=key.project,
                name=key.name,
                secret_hash=secret_hash,
                scopes=" ".join(key.scopes),
                created_at=key.created_at,
                expires_at=key.expires_at,
            )
        )

    def _audit(self, connection: Connection, action: str, now: int, before: ApiKey | None, after: ApiKey) -> None:
        write_audit(
            connection,
            at=now,
            project=after.project,
            actor=COMMAND_LINE,
            action=action,
            kind="api_key",
            target=after.id,
            before=None if before is None else _audited(before),
            after=_audited(after),
        )

    # -- sessions

    def open_session(self, key: ApiKey) -> str:
        """A token for a browser, which stands for the key until it expires or the key ends."""
        token = random.token_urlsafe(32)
        with self._database.write() as connection:
            now = self._database.now(connection)
            expires_at = now + SESSION_SECONDS * 1000
            connection.execute(sessions.delete().where(sessions.c.expires_at < now))
            connection.execute(
                insert(sessions).values(
                    token_hash=_token_hash(token),
                    api_key=key.id,
                    created_at=now,
                    expires_at=expires_at,
                )
            )
        return token

    def resume_session(self, token: str) -> ApiKey:
        """The live key that the token stands for. Raises InvalidApiKey."""
        joined = select(api_keys, sessions.c.expires_at.label("session_until")).join(
            sessions, sessions.c.api_key == api_keys.c.id
        )
        with self._database.read() as connection:
            row = connection.execute(joined.where(sessions.c.token_hash == _token_hash(token))).one_or_none()
            now = self._database.now(connection)
        if row is None or row.session_until < now:
            raise InvalidApiKey("you are signed out")
        key = _key(row)
        _require_live(key, now)
        return key

    def close_session(self, token: str) -> None:
        with self._database.write() as connection:
            connection.execute(sessions.delete().where(sessions.c.token_hash == _token_hash(token)))

    # -- hashes

    def _hash(self, secret: str) -> str:
        if self._pepper is None:
            self._pepper = self._find_pepper()
        return hmac.new(self._pepper, secret.encode(), hashlib.sha256).hexdigest()

    def _find_pepper(self) -> bytes:
        query = select(secrets.c.value).where(secrets.c.name == "api_keys")
        with self._database.write() as connection:
            wait_in_line(connection)
            found = connection.execute(query).scalar_one_or_none()
            if found is None:
                found = random.token_hex(32)
                connection.execute(insert(secrets).values(name="api_keys", value=found))
        return bytes.fromhex(found)


def _audited(key: ApiKey) -> dict[str, object]:
    """What may be told of a key."""
    return {"name": key.name, "scopes": key.scopes, "expiresAt": key.expires_at, "revokedAt": key.revoked_at}


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _is_live(key: ApiKey, now: int) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def _require_live(key: ApiKey, now: int) -> None:
    if key.revoked_at is not None:
        raise InvalidApiKey("this API key was revoked")
    if key.expires_at is not None and key.expires_at <= now:
        raise InvalidApiKey("this API key has expired")


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    found = row._mapping
    return ApiKey(
        found["id"],
        found["project"],
        found["name"],
        tuple(found["scopes"].split()),
        found["created_at"],
        found["expires_at"],
        found["revoked_at"],
        found["last_used_at"],
    )
