"""How an API key reads: `sk_<id>_<secret>_<checksum>`.

The checksum tells a mistyped key from one that must be looked up. It protects nothing: the secret does.
"""

from __future__ import annotations

import hmac
import zlib
from typing import Final

from app.errors import InvalidApiKey

LONGEST: Final = 128
SESSION_SECONDS: Final = 14 * 86_400
"""How long a browser may stand for a key without signing in again."""


def key_text(ident: str, secret: str) -> str:
    body = f"sk_{ident}_{secret}"
    return f"{body}_{_checksum(body)}"


def parse_key(text: str) -> tuple[str, str]:
    """(id, secret). Raises InvalidApiKey for what cannot be a key."""
    parts = text.split("_") if len(text) <= LONGEST and text.isascii() else []
    if len(parts) != 4 or parts[0] != "sk" or not hmac.compare_digest(_checksum("_".join(parts[:3])), parts[3]):
        raise InvalidApiKey("this is not an API key: a key begins with sk_ and is shown once, when it is created")
    return parts[1], parts[2]


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
