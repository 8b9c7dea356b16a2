"""What `publish` can say at once of events that become dead letters for want of a project. The rest `wait` tells."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from app.errors import StoreUnavailable

if TYPE_CHECKING:
    from app.bootstrap import Parts

MAX_NAMES: Final = 10_000
MAX_TOLD: Final = 5


class Claims:
    """The projects that lines name. `default`: the one of lines that name none."""

    def __init__(self) -> None:
        self.default: str | None = None
        self._nameless = 0
        self._lines: Counter[str] = Counter()
        self._known: Sequence[str] | None = None

    def note(self, project: str | None) -> None:
        """Of one line: the project that it names, "" for none, None where only a worker can tell."""
        if project:
            if project in self._lines or len(self._lines) < MAX_NAMES:
                self._lines[project] += 1
        elif project is not None:
            self._nameless += 1

    async def look(self, parts: Parts) -> None:
        """Which projects there are, where `scorekeeper up` runs everything here. Elsewhere that stays unknown: who
        publishes need not reach the database, nor wait for it."""
        from app.bootstrap import database_url
        from app.embedded.running import find_record

        settings = parts.settings
        running = find_record(settings.data_dir)
        if settings.database is not None or running is None or running.database != database_url(settings):
            return
        if settings.kafka not in (None, running.kafka):
            return
        try:
            self._known = [project.key for project in await asyncio.to_thread(parts.definitions.projects)]
        except StoreUnavailable:
            return

    def as_json(self) -> dict[str, Any]:
        """The lines that name no project; those of each project that does not exist, None where that is not known."""
        return {"withoutProject": self._nameless, "unknownProjects": self._unknown()}

    def sentences(self) -> Iterator[str]:
        """What to tell of them, with the remedy."""
        if self._nameless and self.default is None:
            yield (
                f"lines that name no project: {self._nameless:,}; they become dead letters unless the workers have a "
                "SCOREKEEPER_DEFAULT_PROJECT: name one as `projectKey`, or with --project"
            )
        unknown = self._unknown() or {}
        for name, lines in list(unknown.items())[:MAX_TOLD]:
            nearest = get_close_matches(name, self._known or (), n=1)
            meant = f"did you mean {nearest[0]!r}?" if nearest else "`scorekeeper projects list` shows them"
            fate = "becomes a dead letter" if lines == 1 else "become dead letters"
            yield f"there is no project {name!r}: {lines:,} of the lines {fate}; {meant}"
        if len(unknown) > MAX_TOLD:
            yield f"nor are there {len(unknown) - MAX_TOLD:,} more of the projects that are named"

    def _unknown(self) -> dict[str, int] | None:
        """Those with most lines first."""
        if self._known is None:
            return None
        known = set(self._known)
        return {name: lines for name, lines in self._lines.most_common() if name not in known}
