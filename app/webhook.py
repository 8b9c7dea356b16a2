"""One call of a webhook: signed, to an address that was checked, and without following where it points.

The name is resolved here, every address of it is checked, and the connection goes to one that was checked: a name that
resolves to another address a moment later changes nothing. TLS is checked against the name.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import httpcore  # what httpx stands on: it alone lets the address of a connection be chosen
import httpx

from app.domain.deliveries import Attempt
from app.domain.webhook_address import may_connect, refusal_of_url

SIGNATURE: Final = "x-scorekeeper-signature"
DELIVERY: Final = "x-scorekeeper-delivery"
PATIENCE_SECONDS: Final = 10.0
"""For everything together: resolving, connecting, sending, the answer's head."""


class AddressRefused(Exception):
    """The webhook's address may not be connected to."""


def signature(secret: str, at: int, body: bytes) -> str:
    """`t=<epoch seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`: the time is signed as well."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class Webhook:
    """Calls webhooks. `patience_seconds` for one call."""

    def __init__(self, *, allow_private: bool, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._allow_private = allow_private
        self._patience_seconds = patience_seconds
        self._tls: ssl.SSLContext | None = None

    async def call(self, url: str, secret: str, delivery: str, body: bytes) -> Attempt:
        """POST the body once. Never raises for what the other side does."""
        refusal = refusal_of_url(url, allow_private=self._allow_private)
        if refusal:
            return Attempt(None, f"refused: {refusal}")
        headers = {
            "user-agent": "Scorekeeper",
            "content-type": "application/json",
            DELIVERY: delivery,
            SIGNATURE: signature(secret, int(time.time()), body),
        }
        try:
            async with asyncio.timeout(self._patience_seconds):
                status = await self._post(url, tuple(headers.items()), body)
        except AddressRefused as error:
            return Attempt(None, f"refused: {error}")
        except socket.gaierror:
            return Attempt(None, "its name is not known to the domain name system")
        except TimeoutError:
            return Attempt(None, f"no answer within {self._patience_seconds:g} s")
        except Exception as error:  # noqa: BLE001  # whatever an address brings about, other projects' messages go on
            return Attempt(None, f"{type(error).__name__}: {error}"[:200])
        if 200 <= status < 300:
            return Attempt(status, "")
        return Attempt(status, f"the answer was {status}" + (", which is not followed" if 300 <= status < 400 else ""))

    async def _post(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> int:
        if self._tls is None:
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)
        backend = _CheckedBackend(allow_private=self._allow_private)
        # A pool of its own, closed with the answer's head: a body of any length is not read.
        async with (
            httpcore.AsyncConnectionPool(self._tls, network_backend=backend) as pool,
            pool.stream("POST", url, headers=headers, content=body) as response,
        ):
            return int(response.status)


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to checked addresses only."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        for address in addresses:
            if not may_connect(address, allow_private=self._allow_private):
                raise AddressRefused(f"{host} has the address {address}, which is not public")
        failure: Exception = OSError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise AddressRefused("a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
