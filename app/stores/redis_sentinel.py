"""Redis behind sentinels, which are asked where the master is now: the address in words, and the client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

FORM: Final = "redis+sentinel://[user:password@]host:port[,host:port]/service[/database]"
_PORT: Final = 26379
_SERVICE: Final = "mymaster"
_OF_SENTINELS: Final = {"sentinel_username": "username", "sentinel_password": "password"}
_OF_TLS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Where the sentinels are, and how to sign in: to the Redis that they name, and to themselves."""

    sentinels: tuple[tuple[str, int], ...]
    service: str = _SERVICE
    sign_in: Mapping[str, Any] = field(default_factory=dict)
    sign_in_to_sentinels: Mapping[str, str] = field(default_factory=dict)
    tls: Mapping[str, Any] = field(default_factory=dict)


def read_address(url: str) -> SentinelAddress:
    """`redis+sentinel://` and `rediss+sentinel://` URLs; passwords are percent-encoded. Sentinels with a password of
    their own have it in the parameters `sentinel_username` and `sentinel_password`; TLS's files are named as in other
    URLs of Redis. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    servers, _, path = rest.partition("/")
    who, _, hosts = servers.rpartition("@")
    username, _, password = who.partition(":")
    service, _, database = path.strip("/").partition("/")
    sign_in: dict[str, Any] = {"db": int(database or 0)}
    if username:
        sign_in["username"] = unquote(username)
    if password:
        sign_in["password"] = unquote(password)
    parameters = dict(parse_qsl(query, strict_parsing=bool(query)))
    if unknown := parameters.keys() - {*_OF_SENTINELS, *_OF_TLS}:
        raise ValueError(f"{min(unknown)} is no parameter of it")
    files = {name: value for name, value in parameters.items() if name in _OF_TLS}
    return SentinelAddress(
        tuple(_server(host) for host in hosts.split(",")),
        unquote(service) or _SERVICE,
        sign_in,
        {name: parameters[parameter] for parameter, name in _OF_SENTINELS.items() if parameter in parameters},
        {"ssl": True, **files} if scheme.startswith("rediss") else {},
    )


def connect_to_master(url: str, retry: Retry, options: Mapping[str, Any]) -> Any:
    """A client of whichever Redis is the service's master. Raises ValueError."""
    address = read_address(url)
    times = {name: value for name, value in options.items() if name.startswith("socket_")}
    sentinel: Any = cast(Any, Sentinel)(
        address.sentinels,
        sentinel_kwargs={"retry": retry, **times, **address.tls, **address.sign_in_to_sentinels},
        **options,
        **address.sign_in,
        **address.tls,
    )
    return sentinel.master_for(address.service, connection_pool_class=_Pool, retry=retry)


class _Pool(SentinelConnectionPool):
    """Closes the connections to the sentinels too, which redis-py leaves open, and is brief about what is missing."""

    async def get_master_address(self) -> tuple[str, int]:
        try:
            address: tuple[str, int] = await cast(Any, super()).get_master_address()
        except MasterNotFoundError:
            # The driver's text is all that there is to know of its connections.
            raise MasterNotFoundError(f"no sentinel answers with a master for {self.service_name!r}") from None
        return address

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


def _server(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text.strip()}")
    if not parts.hostname:
        raise ValueError("a sentinel has no host")
    return parts.hostname, parts.port or _PORT
