"""How processes log: one line a record on stderr, JSON or readable, at most ten a minute per cause.

A cause is a logger and its message before its arguments are put in. What is left out is counted, and the count follows
with the next line of that cause that is let through. The access log is left whole.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from config.settings import LogFormat, Settings

LINES_PER_MINUTE: Final = 10
_MAX_CAUSES: Final = 1_000
_SECRETS: Final = (
    (re.compile(r"(://[^:/?#\s]*):[^@/\s]+@"), r"\1:***@"),
    (re.compile(r"\bsk_[A-Za-z0-9_-]{8,}"), "sk_***"),
    (
        re.compile(r"(?i)((?:password|x-api-key|authorization)['\"]?\s*[:=]\s*(?:bearer\s+)?['\"]?)[^\s'\",;]+"),
        r"\1***",
    ),
)
ACCESS: Final = "api.access"
"""The logger of one line a request, which is a record of what was done and not of what is wrong: never left out."""
_NOISY: Final = (
    "aiokafka",
    "kafka",
    "faust",
    "mode",
    "sqlalchemy",
    "alembic",
    "uvicorn",
    "uvicorn.access",
    "httpx",
    "asyncio",
)


@dataclass(slots=True)
class _Cause:
    passed: deque[float]
    """When the newest lines were let through."""
    left_out: int = 0


class RateLimit(logging.Filter):
    """Lets LINES_PER_MINUTE records a cause pass in any sixty seconds. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._causes: dict[tuple[str, str], _Cause] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == ACCESS:
            return True
        now = self._clock()
        key = (record.name, str(record.msg)[:200])
        cause = self._causes.get(key)
        if cause is None:
            if len(self._causes) >= _MAX_CAUSES:
                self._causes.clear()
            cause = self._causes[key] = _Cause(deque(maxlen=LINES_PER_MINUTE))
        if len(cause.passed) == LINES_PER_MINUTE and now - cause.passed[0] < 60:
            cause.left_out += 1
            return False
        cause.passed.append(now)
        record.left_out, cause.left_out = cause.left_out, 0
        return True


def mask(text: str) -> str:
    """The text without passwords and API keys."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _masked(value: object) -> object:
    return mask(value) if isinstance(value, str) else value


class JsonLines(logging.Formatter):
    """One JSON object a record: time, level, logger, message, process, and the record's own `fields`; `leftOut` and
    `error` where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(record.getMessage()),
            "pid": record.process,
            **{name: _masked(value) for name, value in getattr(record, "fields", {}).items()},
        }
        if getattr(record, "left_out", 0):
            line["leftOut"] = getattr(record, "left_out", 0)
        if record.exc_info:
            line["error"] = mask(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """Readable: time, level, logger and message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        left_out = getattr(record, "left_out", 0)
        more = f" ({left_out} more like this were left out)" if left_out else ""
        return mask(super().format(record)) + more


def set_up(settings: Settings) -> None:
    """Log to stderr from now on, as the settings say. Replaces what was set up before."""
    is_json = settings.log_format is LogFormat.JSON or (
        settings.log_format is LogFormat.AUTO and not sys.stderr.isatty()
    )
    target = logging.StreamHandler(sys.stderr)
    target.setFormatter(JsonLines() if is_json else TextLines())
    target.addFilter(RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [target]
    root.setLevel(settings.log_level.upper())
    least = logging.DEBUG if settings.log_level == "debug" else logging.WARNING
    if not settings.access_log:
        logging.getLogger(ACCESS).setLevel(logging.WARNING)
    for name in _NOISY:
        logging.getLogger(name).setLevel(least)
