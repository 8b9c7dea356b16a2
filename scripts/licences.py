"""Every package that we ship has a licence that goes with ours (MIT). Exit code 1 names those that have not."""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements" / "runtime.txt"
PERMISSIVE = re.compile(
    r"\b(MIT|MIT-0|MIT-CMU|BSD|0BSD|BSD-\d-Clause|ISC|Apache|PSF|Python Software Foundation|Zlib|Unlicense|CC0|HPND"
    r"|Repoze Public License)\b",
    re.IGNORECASE,
)
WEAK = re.compile(r"\b(LGPL|Lesser General Public|MPL|Mozilla Public)", re.IGNORECASE)
"""Copyleft of the library itself: fine for what is used unchanged and replaceable, as a Python package is."""
STRONG = re.compile(r"\b(?<!L)(A?GPL|Affero|General Public License)", re.IGNORECASE)


def main() -> int:
    refused = []
    rows = []
    for name in locked():
        try:
            licence = licence_of(distribution(name))
        except PackageNotFoundError:
            continue  # of another platform or Python version
        verdict = judge(licence)
        rows.append(f"{name}: {licence}" + ("" if verdict else "   <- not compatible, or not told"))
        if not verdict:
            refused.append(name)
    print("\n".join(rows) if refused or "--all" in sys.argv else f"licences: {len(rows)} packages, all compatible")
    return 1 if refused else 0


def locked() -> list[str]:
    """The names in the lock file."""
    return re.findall(r"^([A-Za-z0-9_.-]+)==", LOCK.read_text(), re.MULTILINE)


def licence_of(package: Distribution) -> str:
    """As its metadata says it: the SPDX expression, else classifiers, else the first line of free text."""
    about = package.metadata
    if about.get("License-Expression"):
        return str(about["License-Expression"])
    classifiers = [
        one.rpartition(" :: ")[2] for one in about.get_all("Classifier") or [] if one.startswith("License ::")
    ]
    named = [one for one in classifiers if one != "OSI Approved"]
    free = (about.get("License") or "").strip().splitlines()
    return " AND ".join(named) or (free[0] if free else "") or "unknown"


def judge(licence: str) -> bool:
    """Whether it may be shipped with MIT-licensed software. Of alternatives (OR) one is enough."""
    return any(
        (PERMISSIVE.search(part) or WEAK.search(part)) and not STRONG.search(WEAK.sub("", part))
        for part in re.split(r"\bOR\b", licence)
    )


if __name__ == "__main__":
    sys.exit(main())
