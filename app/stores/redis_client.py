"""Connections to Redis: one address in, one client out. Drivers' errors become StoreUnavailable here.

redis-py's own retries are off: a call that was executed and not answered must not run twice behind our back; whoever
repeats a call knows that it may be repeated. On a cluster one repetition is on, since redis-py learns only by it that
a shard has moved; there a script may run twice, which its compare-and-set makes harmless.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from app.errors import InvalidSettings, StoreUnavailable
from app.stores.redis_sentinel import FORM, connect_to_master

Client: TypeAlias = Any
"""A Redis or RedisCluster of redis.asyncio: the two share the commands used here, not a base class."""


def connect(url: str, *, name: str, timeout_seconds: float = 5.0) -> Client:
    """A client for `redis://`, `unix://`, `redis+cluster://`, `redis+sentinel://`, and with TLS `rediss…`.

    Nothing is sent before the first command. `name` labels the connection (CLIENT LIST). Raises InvalidSettings.
    """
    options: dict[str, Any] = {
        "client_name": name,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": min(timeout_seconds, 2.0),
        "decode_responses": False,
    }
    retry = Retry(NoBackoff(), 0)
    once = Retry(NoBackoff(), 1)
    scheme = url.partition("://")[0]
    try:
        if scheme in {"redis", "rediss", "unix"}:
            return Redis.from_url(url, retry=retry, health_check_interval=0, **options)
        if scheme in {"redis+cluster", "rediss+cluster"}:
            return RedisCluster.from_url(url.replace("+cluster", "", 1), retry=once, **options)
        if scheme in {"redis+sentinel", "rediss+sentinel"}:
            return connect_to_master(url, retry, options)
    except (ValueError, TypeError, RedisClusterException):
        # No number, no such parameter, no host. The driver's words might repeat a part of a password.
        form = FORM if "sentinel" in scheme else f"{scheme}://[user:password@]host:port[/database]"
        message = f"SCOREKEEPER_REDIS is no address: write {form}, and what is special in a password percent-encoded"
        raise InvalidSettings(message) from None
    message = "SCOREKEEPER_REDIS begins with no scheme that we know; use redis://host:port/0"
    raise InvalidSettings(message)


REDIS_ERRORS: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What the driver raises when Redis cannot be asked, or not now."""


@contextmanager
def as_store_errors() -> Iterator[None]:
    """Turn what the driver raises into StoreUnavailable; the call may then be repeated."""
    try:
        yield
    except REDIS_ERRORS as error:
        raise StoreUnavailable("redis", f"{type(error).__name__}: {error}") from error
    except Exception as error:
        if not _is_from_driver(error):
            raise
        raise StoreUnavailable("redis", f"the driver failed: {type(error).__name__}: {error}") from error


def _is_from_driver(error: BaseException) -> bool:
    """Whether redis-py tripped over itself, or over what it called.

    A RedisCluster closes all connections when a shard is down, those too that other tasks are about to use: in version
    8.1 these then fail on a writer or a reader that is None, in the driver or, a frame deeper, in asyncio. A worker
    must not end for that.
    """
    where = error.__traceback__
    while where is not None:
        if str(where.tb_frame.f_globals.get("__name__", "")).startswith("redis."):
            return True
        where = where.tb_next
    return False


def pattern(prefix: str, rest: str = "*") -> str:
    """For SCAN and KEYS: what begins with exactly this prefix, however it reads as a pattern."""
    return prefix.replace("[", "\\[").replace("*", "\\*") + rest


async def ask_every_server(client: Client, *command: str) -> list[Any]:
    """The command's answer of each server that holds keys: of a cluster, one a shard. Raises what the driver raises."""
    if not isinstance(client, RedisCluster):
        return [await client.execute_command(*command)]
    answers = await client.execute_command(*command, target_nodes=RedisCluster.PRIMARIES)
    # With a single shard redis-py gives the answer itself.
    return list(answers.values()) if len(client.get_primaries()) > 1 else [answers]
