"""How commands speak: data on stdout (a table, or JSON), everything else on stderr, errors in one sentence.

Names and values come from events, so from anybody. Whatever is said here is `plain`: no command has to think of it.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table

_PIPE_WIDTH = 400

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
"""The option that every command has that prints data."""


_HARMFUL: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON may hold as it is, and a terminal, or UTF-8, may not."""


def plain(text: str) -> str:
    """The text without what would move a terminal's cursor, colour it, or turn its direction."""
    return "".join("·" if unicodedata.category(one) in {"Cc", "Cf", "Zl", "Zp", "Cs"} else one for one in text)


def print_json(value: Any) -> None:
    """One document; indented for people, on one line for pipes."""
    print_json_text(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_json_text(text: str) -> None:
    """The same of a document that is encoded already."""
    print(_HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", text), flush=True)


def print_line(text: str) -> None:
    """One line of data, out at once even through a pipe."""
    print(plain(text), flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table, or the sentence `empty` when there is no row. A column named with a leading `#` holds numbers."""
    filled = [["" if cell is None else plain(str(cell)) for cell in row] for row in rows]
    if not filled:
        print_line(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.lstrip("#"), justify="right" if column.startswith("#") else "left", overflow="fold")
    for row in filled:
        table.add_row(*row)
    # A pipe has no width: a file or a `grep` gets every row on one line.
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def counted(number: int, what: str) -> str:
    """So many of them in words, where an `s` makes the plural."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def tell(text: str) -> None:
    """One line to the person at the terminal, or several."""
    print("\n".join(map(plain, text.split("\n"))), file=sys.stderr, flush=True)


def fail(problem: str, code: int = 1) -> NoReturn:
    """End the command with one sentence."""
    tell(f"scorekeeper: {problem}")
    raise typer.Exit(code)
