"""`scorekeeper publish`: events from a file to Kafka, unchanged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.cli.arriving import UnreadableInput, arriving, open_input
from app.cli.asking import with_parts
from app.cli.numbers import finite
from app.cli.offline import STDIN
from app.cli.printing import AsJson, counted, fail, print_json, print_line, tell
from app.cli.unclaimed import Claims
from app.domain.formats import cloud_event
from app.errors import InvalidEvent

if TYPE_CHECKING:
    from app.bootstrap import Parts
    from app.streams.publishing import Message, Publisher

FLUSH_SECONDS: Final = 0.25
"""How long what was read may wait for more while more comes."""
LAST_SECONDS: Final = 2.0
SHORTEST_WAIT_SECONDS: Final = 0.002
MAX_TOLD: Final = 20


class _Line(msgspec.Struct, rename="camel", gc=False):
    """What is looked at in an event before it is published; the rest only has to be JSON."""

    user_id: msgspec.Raw = msgspec.Raw(b"")
    visitor_id: msgspec.Raw = msgspec.Raw(b"")
    anonymous_id: msgspec.Raw = msgspec.Raw(b"")
    retracts: msgspec.Raw = msgspec.Raw(b"")
    restates: msgspec.Raw = msgspec.Raw(b"")
    id: msgspec.Raw = msgspec.Raw(b"")
    event_id: msgspec.Raw = msgspec.Raw(b"")
    message_id: msgspec.Raw = msgspec.Raw(b"")
    specversion: msgspec.Raw = msgspec.Raw(b"")
    project_key: msgspec.Raw = msgspec.Raw(b"")
    project_id: msgspec.Raw = msgspec.Raw(b"")
    project: msgspec.Raw = msgspec.Raw(b"")
    events: msgspec.Raw = msgspec.Raw(b"")


_decode: Final = msgspec.json.Decoder(_Line).decode
_decode_any: Final = msgspec.json.Decoder().decode
_decode_document: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def publish(
    file: Annotated[Path, typer.Argument(metavar="[FILE|-]", help="Events, one JSON document a line.")] = STDIN,
    project: Annotated[str | None, typer.Option("--project", help="Of the events that name none.")] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, callback=finite, help="At most so many events a second.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 when a line was left out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish events to Kafka, their bytes unchanged, keyed by subject so that a visitor's events keep their order.

    A line that is not JSON is named on stderr with its number, and the rest go on; when not one line could be
    published, the exit code is 1. What comes through a pipe is sent as it comes.
    """
    sending = _Sending(project, rate)
    is_interrupted = False

    async def send(parts: Parts) -> None:
        sending.claims.default = parts.settings.default_project
        publisher = parts.publisher()
        await publisher.start()
        try:
            with _progress(file) as show:
                await sending.run(publisher, source, show)
        finally:
            await publisher.stop()
        await sending.claims.look(parts)

    try:
        with open_input(file) as source:
            with_parts(send)
    except UnreadableInput as error:
        fail(f"{file} cannot be read ({error}); name a file of events, one a line", 2)
    except KeyboardInterrupt:
        is_interrupted = True
    if as_json:
        print_json({"published": sending.published, "leftOut": sending.left_out, **sending.claims.as_json()})
    else:
        print_line(f"published {sending.published}")
    if sending.left_out:
        tell(f"{counted(sending.left_out, 'line')} left out")
    has_nothing = bool(sending.left_out) and not sending.published
    if has_nothing:
        tell("scorekeeper: nothing was published, not one of the lines could be")
    for sentence in sending.claims.sentences():
        tell(f"scorekeeper: {sentence}")
    if is_interrupted:
        raise typer.Exit(130)
    if has_nothing or (strict and sending.left_out):
        raise typer.Exit(1)


def message_of(line: bytes, project: str | None, tag: int = 0) -> tuple[Message, str | None]:
    """The message of a line: keyed by userId, else visitorId, anonymousId, the event that it corrects, or id, so that a
    correction follows its original. Raises msgspec.MsgspecError.

    The header `project` is added when `project` is given and the event names none. Beside the message is the project
    that it names then, as `Claims.note` takes it.
    """
    from app.streams.publishing import Message

    if not line.isascii():
        _require_text(line)
    try:
        event = _decode(line)
    except msgspec.ValidationError:
        # JSON, but no object: what it is worth is the worker's to say.
        _decode_any(line)
        event, is_plain = _Line(), False
    else:
        # A CloudEvent and a batch may name it elsewhere.
        is_plain = not event.specversion and not event.events
    key = _key(event, line)
    named = _text(event.project_key) or _text(event.project_id) or _text(event.project)
    headers = (("project", project.encode()),) if project and not named else ()
    claim = named.decode(errors="replace") if named else project or ""
    return Message(key, line, headers, tag), claim if is_plain else None


def _key(event: _Line, line: bytes) -> bytes | None:
    """As `POST /api/events` keys the event."""
    ident = _text(event.id) or _text(event.event_id) or _text(event.message_id)
    if event.specversion:
        try:
            native, identity = cloud_event(_decode_document(line))
        except InvalidEvent:
            return ident
        event, ident = msgspec.convert(native, _Line), identity.encode()
    subject = _text(event.user_id) or _text(event.visitor_id) or _text(event.anonymous_id)
    return subject or _text(event.retracts) or _text(event.restates) or ident


def _require_text(line: bytes) -> None:
    # The decoder skips what it is not asked for without looking into its characters.
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"byte {error.start} is not UTF-8") from None


def _text(raw: msgspec.Raw) -> bytes | None:
    """A string's characters, a number's digits; None for nothing, null and the empty string."""
    text = bytes(raw)
    if text[:1] == b'"':
        text = str(_decode_any(text)).encode(errors="surrogatepass")
    return None if text in (b"", b"null") else text


class _Sending:
    """One run of `publish`."""

    def __init__(self, project: str | None, rate: float | None) -> None:
        self._project = project
        self._rate = rate
        self.published = 0
        self.left_out = 0
        self.claims = Claims()

    async def run(self, publisher: Publisher, source: FileIO, show: Callable[[int], None]) -> None:
        """Until the input ends. Cancelled, it sends what it has read, if that is soon done."""
        try:
            await self._send_all(publisher, source, show)
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    await publisher.flush()
            raise
        finally:
            self.published = publisher.published
            for number in sorted(publisher.refused):
                self._leave_out(number, "is larger than the topic takes")

    async def _send_all(self, publisher: Publisher, source: FileIO, show: Callable[[int], None]) -> None:
        begun = flushed = time.monotonic()
        sent = 0
        async for lines in arriving(source):
            for number, line in lines:
                try:
                    message, named = message_of(line, self._project, number)
                except (msgspec.MsgspecError, RecursionError) as error:
                    self._leave_out(number, f"is not JSON: {error}")
                    continue
                self.claims.note(named)
                await publisher.add(message)
                sent += 1
                if self._rate:
                    show(number)
                    await _keep_pace(publisher, begun + sent / self._rate)
            if lines:
                show(lines[-1][0])
            if not lines or time.monotonic() - flushed > FLUSH_SECONDS:
                await publisher.flush()
                flushed = time.monotonic()
        await publisher.flush()

    def _leave_out(self, number: int, why: str) -> None:
        self.left_out += 1
        if self.left_out <= MAX_TOLD:
            tell(f"line {number} {why}")
        elif self.left_out == MAX_TOLD + 1:
            tell("more lines like these are only counted")


async def _keep_pace(publisher: Publisher, due: float) -> None:
    """Wait until then, with nothing unsent."""
    ahead = due - time.monotonic()
    if ahead > SHORTEST_WAIT_SECONDS:
        await publisher.flush()
        await asyncio.sleep(ahead)


@contextmanager
def _progress(file: Path) -> Iterator[Callable[[int], None]]:
    """Is told the number of the last line; a bar when somebody watches."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("publishing", total=_count_lines(file))
        yield lambda number: progress.update(bar, completed=number)


def _count_lines(file: Path) -> int | None:
    """None for what can only be read once."""
    if file == STDIN or not file.is_file():
        return None
    with file.open("rb") as text:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: text.read(1 << 20), b""))
