"""The error tree. An error is named by what its caller does next.

ScorekeeperError
├── InvalidEvent            dead-letter the message under its reason; its neighbours go on
├── InvalidDefinition       refuse it (HTTP 422), or leave it out of the catalog and report it
├── InvalidSettings         do not start; name the variable
├── InvalidApiKey           HTTP 401
├── NotFound                HTTP 404
├── Conflict                HTTP 409; read again and decide
│   └── ChangedMeanwhile    HTTP 412; it is not any more what the change was made from
├── StoreUnavailable        do not acknowledge and try again; HTTP 503
│   ├── Unconfirmed         a part of it may be there: do all of it again, what has an id counts once
│   ├── DeletedMeanwhile    the log begins later now: go on from there, and tell what is missing
│   ├── EndsBefore          the log ends too early: what is missing may come, pass over nothing
│   ├── GenerationMissing   the counters were emptied: rebuild; show "rebuilding", never 0
│   └── OtherScheme         the counters were laid out by another version: do not start; rebuild beside them
└── EmbeddedUnavailable     the embedded part cannot run here: say what to install or to set
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum


class ScorekeeperError(Exception):
    """Every error of ours; anything else that escapes is a defect."""


class Reason(StrEnum):
    """Why a message or an event in it can never be counted: the closed list of drop reasons."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    INVALID_JSON = "invalid_json"
    TOO_DEEP = "too_deep"
    NOT_AN_EVENT = "not_an_event"
    MISSING_TYPE = "missing_type"
    INVALID_FIELD = "invalid_field"
    INVALID_NUMBER = "invalid_number"
    INVALID_TIMESTAMP = "invalid_timestamp"
    NO_PROJECT = "no_project"
    UNKNOWN_PROJECT = "unknown_project"
    TOO_OLD = "too_old"
    IN_THE_FUTURE = "in_the_future"
    UNSUPPORTED_FORM = "unsupported_form"
    EMPTY_BATCH = "empty_batch"
    BATCH_TOO_LARGE = "batch_too_large"


class InvalidEvent(ScorekeeperError):
    """A message, or one event of a batch message, that can never be counted."""

    def __init__(self, reason: Reason, problem: str = "", *, field: str = "", project: str = "") -> None:
        """`field` is the event's field that is wrong; empty where it is the message."""
        detail = f"{field}: {problem}" if field else problem
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.field = field
        self.project = project


class InvalidDefinition(ScorekeeperError):
    """A definition that does not say what to count. `field` is a JSON pointer into the definition.

    When more than one field is wrong, this is the first and `others` are the rest.
    """

    def __init__(
        self, field: str, problem: str, remedy: str = "", *, others: tuple[InvalidDefinition, ...] = ()
    ) -> None:
        super().__init__(f"{field or '/'}: {problem}" + (f" {remedy}" if remedy else ""))
        self.field = field
        self.problem = problem
        self.remedy = remedy
        self.others = others

    @property
    def each(self) -> tuple[InvalidDefinition, ...]:
        return (self, *self.others)


def in_one_line(problems: Iterable[str]) -> str:
    """Several problems, some of which end like a sentence, as one."""
    *others, last = problems
    return "; ".join([*(problem.removesuffix(".") for problem in others), last])


def raise_together(problems: Sequence[InvalidDefinition]) -> None:
    """Raise the first with the others in it, if there is one."""
    if problems:
        first, *others = (each for problem in problems for each in problem.each)
        raise InvalidDefinition(first.field, first.problem, first.remedy, others=tuple(others))


class InvalidSettings(ScorekeeperError):
    """A setting is wrong, unknown or missing; the message names the variable and the remedy."""


class InvalidApiKey(ScorekeeperError):
    """The API key is missing, mistyped, revoked or lacks the scope."""


class NotFound(ScorekeeperError):
    """Nothing of that kind has that id in the caller's project. `meant`: one that has nearly that id."""

    def __init__(self, kind: str, ident: str, meant: str | None = None) -> None:
        super().__init__(f"no {kind} with the id {ident!r}" + (f"; did you mean {meant!r}?" if meant else ""))
        self.kind = kind
        self.ident = ident


class Conflict(ScorekeeperError):
    """What was asked does not fit the present state; the message says how."""


class ChangedMeanwhile(Conflict):
    """The definition has another revision than the one that was to be changed."""


class StoreUnavailable(ScorekeeperError):
    """A store cannot answer now. Nothing was changed, or the same call may be repeated."""

    def __init__(self, store: str, cause: str) -> None:
        super().__init__(f"{store} is unavailable: {cause}")
        self.store = store
        self.cause = cause


class Unconfirmed(StoreUnavailable):
    """It is not known how much of what was to be written is there: all of it, a part, or nothing."""


class DeletedMeanwhile(StoreUnavailable):
    """What was to be read next was deleted from the log: `first` is the first offset that it holds now."""

    def __init__(self, log: str, wanted: int, first: int) -> None:
        super().__init__(
            "kafka", f"{log} was deleted up to offset {first} while it was read from {wanted} on: try again"
        )
        self.first = first


class EndsBefore(StoreUnavailable):
    """The log ends before what was to be read: it was cut off, or its brokers do not know all of it yet."""

    def __init__(self, log: str, wanted: int, end: int) -> None:
        super().__init__("kafka", f"{log} was cut off at offset {end} while it was read from {wanted} on: try again")


class GenerationMissing(StoreUnavailable):
    """The store answers but holds no generation: it was emptied."""

    def __init__(self, generation: int | None = None) -> None:
        super().__init__(
            "redis", "the counters are missing" if generation is None else f"generation {generation} is missing"
        )
        self.generation = generation


class OtherScheme(StoreUnavailable):
    """The generation was counted as another version does it: this one neither reads nor writes its keys."""

    def __init__(self, generation: int, scheme: int, ours: int) -> None:
        super().__init__(
            "redis",
            f"generation {generation} has the key scheme {scheme}, this version reads {ours}: run `scorekeeper "
            "rebuild` of this version while workers of the other one count on; it is shown when it is complete",
        )
        self.generation = generation
        self.scheme = scheme


class EmbeddedUnavailable(ScorekeeperError):
    """An embedded part cannot run on this machine; one sentence with the remedy."""
