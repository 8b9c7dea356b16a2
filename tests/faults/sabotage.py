"""Takes one protection out, to see that the tests notice. A pytest plugin (`-p tests.faults.sabotage --sabotage NAME`),
and a worker without that protection (`python -m tests.faults.sabotage NAME`). Nothing in the product knows of this.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import pytest

from tests.faults.sabotaged_counting import COUNTING
from tests.faults.sabotaged_reading import READING, WORKERS_ONLY
from tests.faults.taking_out import put

PATIENCE_SECONDS = 12.0
OPTIONS: Final = ("-p", "no:cacheprovider", "-q", "--tb=short")
"""Pytest's, for a run without a protection."""
SABOTAGES: Final[Mapping[str, Callable[[], None]]] = {**COUNTING, **READING, **WORKERS_ONLY}


# -- as a pytest plugin


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sabotage", choices=sorted(SABOTAGES), help="Take this protection out.")


def pytest_configure(config: pytest.Config) -> None:
    from tests.faults import site

    name = config.getoption("--sabotage")
    if name:
        if name not in WORKERS_ONLY:
            SABOTAGES[name]()
        site.SABOTAGE.append(name)
        put(site, "patience", lambda seconds: min(seconds, PATIENCE_SECONDS))


def sabotage(names: Iterable[str]) -> None:
    """Take these protections out of this process."""
    for name in names:
        SABOTAGES[name]()


if __name__ == "__main__":
    sabotage(sys.argv[1:])
    from agents.__main__ import main

    sys.exit(main())
