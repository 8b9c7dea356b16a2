"""The envelope: what surrounds an event and completes it. Kafka headers, and the outer fields of a batch message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.errors import InvalidEvent, Reason

PROJECT_HEADER: Final = "project"
REPLAY_HEADER: Final = "scorekeeper-replay"
CLOUD_EVENT_PREFIX: Final = "ce_"
CONTENT_TYPE_HEADER: Final = "content-type"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Defaults for what an event leaves out. An empty string is nothing."""

    project: str = ""
    user_id: str = ""
    visitor_id: str = ""
    session_id: str = ""
    url: str = ""
    occurred_at: int | None = None
    experiments: Mapping[str, str] | None = None
    ident: str = ""
    """The id of an event that has none of its own: `replay:<identity of the dead letter>` when it is replayed, so that
    replaying it twice counts it once."""
    only: int | None = None
    """Of a batch message only this element counts: the others were counted when the message was first read."""
    is_batch: bool = False
    """The event is an element of a batch message."""
    cloud_event: Mapping[str, str] | None = field(default=None)
    """The attributes of a binary CloudEvent by name, and its `datacontenttype`."""


NO_ENVELOPE: Final = Envelope()


def read_headers(headers: Sequence[tuple[str, bytes | None]]) -> Envelope:
    """The envelope that a record's headers make; others than ours are left alone. Of equal ones the first counts.

    `scorekeeper-replay` is the identity of a dead letter: `topic@incarnation/partition/offset`, and maybe `/index`. A
    replayed message that is dead-lettered again keeps its first identity. Raises InvalidEvent(INVALID_FIELD).
    """
    project, replay, content_type = "", "", b""
    attributes: dict[str, bytes] = {}
    for name, value in headers:
        if not value:
            continue
        if name == PROJECT_HEADER:
            project = project or _text(name, value)
        elif name == REPLAY_HEADER:
            replay = replay or _text(name, value)
        elif name.startswith(CLOUD_EVENT_PREFIX):
            attributes.setdefault(name[len(CLOUD_EVENT_PREFIX) :], value)
        elif name.lower() == CONTENT_TYPE_HEADER:
            content_type = content_type or value
    is_cloud_event = "specversion" in attributes
    if not (project or replay or is_cloud_event):
        return NO_ENVELOPE
    if content_type:
        attributes["datacontenttype"] = content_type
    return Envelope(
        project=project,
        ident=f"replay:{replay}" if replay else "",
        only=_index(replay),
        cloud_event={name: _text(f"ce_{name}", value) for name, value in attributes.items()}
        if is_cloud_event
        else None,
    )


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidEvent(Reason.INVALID_FIELD, f"the header {name!r} is not UTF-8") from None


def _index(replay: str) -> int | None:
    # Neither a topic's name nor its incarnation has a slash, so a third one can only stand before the index.
    parts = replay.split("/")
    return int(parts[3]) if len(parts) == 4 and parts[3].isascii() and parts[3].isdigit() else None
