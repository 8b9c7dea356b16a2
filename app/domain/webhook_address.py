"""Where webhooks may go: https, and addresses of the public internet. Pure; names are resolved where it is connected.

Whoever may make an alert chooses an address that our process then connects to. Without these rules he could reach what
only our network reaches: other services, a cloud's metadata.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

_NAT64: Final = IPv6Network("64:ff9b::/96")
_PUBLIC: Final = IPv6Network("2000::/3")
_TRANSLATED: Final = tuple(IPv6Network(one) for one in ("2001::/32", "2002::/16"))
"""Teredo and 6to4: they lead to an IPv4 address, and nobody needs them."""


def refusal_of_url(url: str, *, allow_private: bool) -> str:
    """What is wrong with the address of a webhook; empty when nothing is, as far as can be said without resolving."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is no URL."
    if parts.scheme not in ({"https", "http"} if allow_private else {"https"}):
        return f"its scheme is {parts.scheme[:20]!r}, not https."
    if not host or not url.isascii() or any(letter.isspace() or letter == "\\" for letter in url):
        return "it is no URL of printable ASCII characters with a host."
    if parts.username is not None or parts.password is not None:
        return "it holds a user name or a password."
    if parts.fragment:
        return "it has a fragment, which is never sent."
    try:
        ip_address(host)
    except ValueError:
        return ""
    return "" if may_connect(host, allow_private=allow_private) else "its address is not public."


def may_connect(address: str, *, allow_private: bool) -> bool:
    """Whether a webhook may connect to this IP address."""
    if allow_private:
        return True
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found in _NAT64:
            found = IPv4Address(int(found) & 0xFFFFFFFF)
        elif found not in _PUBLIC or any(found in network for network in _TRANSLATED):
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved
