"""The rules of a generation's folding: what is parsed, how ids are remembered, which stripe a project is in. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from app.domain.parsing import ParsingRules
from app.domain.spreading import hashed


@dataclass(frozen=True, slots=True)
class FoldingRules:
    """What folding needs to know besides the catalog; fixed for a generation, or counts could not be reproduced."""

    parsing: ParsingRules
    secret: bytes
    """The key of the hashes of ids and subjects, so that nobody can craft collisions."""
    window_ms: int
    """How long an event id is remembered, at least."""
    stripes: int = 1
    spread: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Project -> its stripe, of those for which it was chosen; the others' are hashed."""

    def stripe_of(self, project: str) -> int:
        if self.stripes == 1:
            return 0
        chosen = self.spread.get(project)
        return chosen if chosen is not None else hashed(project, self.stripes)

    def hash(self, *parts: str) -> int:
        """64 bits, signed, keyed."""
        text = "\0".join(parts).encode(errors="surrogatepass")
        return int.from_bytes(blake2b(text, digest_size=8, key=self.secret).digest(), "little", signed=True)

    def hash_all(self, texts: Sequence[str]) -> tuple[int, ...]:
        """Of each text what `hash` gives, in less time."""
        key = self.secret
        digests = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest() for text in texts]
        return struct.unpack(f"<{len(digests)}q", b"".join(digests))
