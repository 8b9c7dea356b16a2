"""Forms of the page: read as plain form posts, so that they work without a script, and only from our own pages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from api.auth import doorkeeper_of, refuse_foreign_page
from api.problems import Problem
from api.services import Key
from app.errors import ChangedMeanwhile, Conflict, InvalidDefinition

MOST_FIELDS = 500
_MOST_DIGITS = 30
"""More than any field takes: a short text may stand for more digits than memory holds."""


@dataclass(frozen=True, slots=True)
class Form:
    """What was filled in: the last value of each field, and all of those that may be repeated."""

    pairs: Sequence[tuple[str, str]] = ()

    def text(self, name: str) -> str:
        return next((value for known, value in reversed(self.pairs) if known == name), "")

    def texts(self, name: str) -> list[str]:
        return [value for known, value in self.pairs if known == name]


@dataclass(slots=True)
class Faults:
    """What is wrong with a form, by the name of its field; what belongs to no field stands under an empty name."""

    by_field: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, text: str) -> None:
        self.by_field.setdefault(name, text)

    @contextmanager
    def of_saving(self, fields: Collection[str]) -> Iterator[None]:
        """Whatever is said against saving within the block becomes a fault, and the block ends; `fields` as below."""
        try:
            yield
        except InvalidDefinition as error:
            self.add_all(error, fields)
        except (ChangedMeanwhile, Conflict) as error:
            self.add("", f"{str(error).capitalize()}.")

    def add_all(self, error: InvalidDefinition, fields: Collection[str]) -> None:
        """Every problem of a definition; `fields`: those of the definition that the form has."""
        for one in (error, *error.others):
            top = one.field.split("/")[1] if "/" in one.field else ""
            inside = one.field.removeprefix(f"/{top}").lstrip("/")
            text = f"{one.problem} {one.remedy}".strip()
            shown = f"{inside}: {text}" if inside else text[:1].upper() + text[1:]
            self.add(top if top in fields else "", shown)


async def read_form(request: Request) -> Form:
    """The form that one of our pages sent. Raises Problem."""
    refuse_foreign_page(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(415, "A form is sent as application/x-www-form-urlencoded.")
    raw = await request.body()
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise Problem(400, "The form cannot be read.", code="invalid_form") from error
    return Form([(name, value.replace("\r\n", "\n")) for name, value in pairs])


async def _writer(request: Request) -> Key:
    """The key of the session, which has to be allowed to write. Raises Problem, InvalidApiKey."""
    key = request.state.visitor = await doorkeeper_of(request).identify(request)
    if not key.may("write"):
        raise Problem(403, "Your API key may read only; sign in with one that may write.", code="missing_scope")
    return key


WRITER = Annotated[Key, Depends(_writer)]


def revision_of(form: Form) -> int | None:
    """The revision that the form was filled in for, so that nobody's change is overwritten unseen."""
    text = form.text("revision")
    return int(text) if text.isdecimal() and len(text) < 19 else None


def to_number(text: str) -> int | float | None:
    """A number as people write it: spaces between thousands are fine, a comma is not (it means two things)."""
    try:
        number = Decimal(text.replace(" ", "").replace("\u00a0", "").replace("\u202f", ""))
    except InvalidOperation:
        return None
    if not number.is_finite() or number.adjusted() >= _MOST_DIGITS:
        return None
    return int(number) if number == number.to_integral_value() else float(number)
