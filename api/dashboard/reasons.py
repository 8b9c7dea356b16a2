"""What each reason for a dead letter means, and what to do about it: on the page and in the reference."""

from __future__ import annotations

from typing import Final

from app.errors import Reason

REASONS: Final[dict[Reason, tuple[str, str]]] = {
    Reason.EMPTY: ("The message has no value.", "Send a JSON document; tombstones are not counted."),
    Reason.TOO_LARGE: ("The message is larger than 1 MiB.", "Send less data with each event, or smaller batches."),
    Reason.NOT_UTF8: ("The message is not UTF-8 text.", "Send UTF-8, uncompressed and without UTF-16."),
    Reason.INVALID_JSON: ("The message is not JSON.", "Look at the sample; NaN and Infinity are not JSON either."),
    Reason.TOO_DEEP: ("The JSON is nested deeper than 64 levels.", "Flatten the event's data."),
    Reason.NOT_AN_EVENT: ("The JSON is not an object.", "Send one event as an object, or a batch with `events`."),
    Reason.MISSING_TYPE: ("The event does not say what happened.", "Give it a `type`, for example `purchase`."),
    Reason.INVALID_FIELD: ("A field has the wrong type or length.", "The detail names the field."),
    Reason.INVALID_NUMBER: ("A number cannot be kept exactly.", "Send numbers of ordinary size, or as text."),
    Reason.INVALID_TIMESTAMP: ("The timestamp cannot be read.", "Send RFC 3339, or epoch milliseconds."),
    Reason.NO_PROJECT: ("The event names no project.", "Send `projectKey`, or set SCOREKEEPER_DEFAULT_PROJECT."),
    Reason.UNKNOWN_PROJECT: ("There is no such project.", "Correct the key, or create the project; then replay."),
    Reason.TOO_OLD: ("The event happened too long ago.", "SCOREKEEPER_MAX_EVENT_AGE_DAYS says what is too old."),
    Reason.IN_THE_FUTURE: ("The event is in the future.", "Correct the sender's clock, then replay."),
    Reason.UNSUPPORTED_FORM: ("The event's form is not understood.", "Send native, CloudEvents 1.0 or Segment events."),
    Reason.EMPTY_BATCH: ("The batch holds no events.", "Leave empty batches out."),
    Reason.BATCH_TOO_LARGE: ("The batch holds too many events.", "Send smaller batches."),
}
