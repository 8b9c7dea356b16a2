"""`scorekeeper dead-letters`: what could not be counted, why, and sending it again once that has changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.asking import with_parts
from app.cli.printing import AsJson, fail, print_json, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.bootstrap import Parts
    from app.domain.folding import Record

PREFIX = "scorekeeper-"
REPLAY = "scorekeeper-replay"

dead_letters = typer.Typer(help="Messages that could not be counted.", no_args_is_help=True)
Reason = Annotated[str | None, typer.Option("--reason", help="Only those with this reason.")]
OfProject = Annotated[str | None, typer.Option("--project", help="Only this project's.")]
Since = Annotated[int | None, typer.Option("--since", help="Only those received since (epoch ms).")]


class Letter:
    """A dead letter as it lies in its topic."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.ours = {k[len(PREFIX) :]: v.decode() for k, v in record.headers if k.startswith(PREFIX)}
        self.original = [(k, v) for k, v in record.headers if not k.startswith(PREFIX)]

    @property
    def ident(self) -> str:
        return self.ours.get("id", "")

    def fits(self, reason: str | None, project: str | None, since: int | None) -> bool:
        return (
            (reason is None or self.ours.get("reason") == reason)
            and (project is None or self.ours.get("project") == project)
            and (since is None or int(self.ours.get("timestamp", 0)) >= since)
        )

    def as_json(self) -> dict[str, Any]:
        value = self.record.value
        text = value.decode(errors="replace") if value is not None else None
        return {**self.ours, "value": text if text is None or len(text) <= 10_000 else text[:10_000] + "…"}


async def letters(parts: Parts) -> AsyncIterator[Letter]:
    """All dead letters, each identity once: what is counted again after a crash is written again."""
    seen: set[str] = set()
    (topic,) = await asyncio.to_thread(parts.topics.describe, [parts.settings.dead_letters])
    for position, (first, end) in (await asyncio.to_thread(parts.topics.ends, topic.positions())).items():
        async for batch in parts.log.read(position, first, end):
            for record in batch.records:
                letter = Letter(record)
                if letter.ident and letter.ident not in seen:
                    seen.add(letter.ident)
                    yield letter


@dead_letters.command("list")
def list_letters(
    reason: Reason = None,
    project: OfProject = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 100,
    as_json: AsJson = False,
) -> None:
    """The oldest first."""

    async def ask(parts: Parts) -> list[Letter]:
        return [letter async for letter in letters(parts) if letter.fits(reason, project, since)][:limit]

    found = with_parts(ask)
    if as_json:
        print_json([letter.as_json() for letter in found])
        return
    rows = [(x.ident, x.ours.get("reason"), x.ours.get("project"), x.ours.get("detail")) for x in found]
    print_table(["id", "reason", "project", "detail"], rows, empty="no dead letters")


@dead_letters.command("show")
def show_letter(ident: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """One of them, whole."""

    async def ask(parts: Parts) -> Letter | None:
        async for letter in letters(parts):
            if letter.ident == ident:
                return letter
        return None

    letter = with_parts(ask)
    if letter is None:
        fail(f"there is no dead letter {ident}")
    print_json(letter.as_json())


@dead_letters.command("replay")
def replay_letters(
    ident: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    reason: Reason = None,
    project: OfProject = None,
    since: Since = None,
) -> None:
    """Send them to their topic again. Harmless to repeat: an event that counted once does not count again."""

    async def send(parts: Parts) -> int:
        from app.streams.publishing import Message

        chosen = [
            letter
            async for letter in letters(parts)
            if letter.fits(reason, project, since) and ident in {None, letter.ident}
        ]
        by_topic: dict[str, list[Letter]] = {}
        for letter in chosen:
            by_topic.setdefault(letter.ours["topic"], []).append(letter)
        for topic, some in by_topic.items():
            publisher = parts.publisher(topic)
            await publisher.start()
            try:
                for letter in some:
                    value = await _value(parts, letter)
                    headers = [*letter.original, (REPLAY, letter.ident.encode())]
                    await publisher.add(Message(letter.record.key, value, headers))
                await publisher.flush()
            finally:
                await publisher.stop()
        return len(chosen)

    print_line(f"replayed {with_parts(send)}")


async def _value(parts: Parts, letter: Letter) -> bytes | None:
    """The original value; of one that was too large for the dead-letter topic, from where it first lay."""
    if "by-reference" not in letter.ours:
        return letter.record.value
    (topic,) = await asyncio.to_thread(parts.topics.describe, [letter.ours["topic"]])
    position, offset = topic.positions()[int(letter.ours["partition"])], int(letter.ours["offset"])
    async for batch in parts.log.read(position, offset, offset + 1):
        for record in batch.records:
            return record.value
    return fail(f"the message of dead letter {letter.ident} is not in the log any more")
