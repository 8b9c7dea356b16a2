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
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

_GAP = 2
_LONGEST_WORD = 64
"""What is longer is broken on a terminal: no id is, a name or an address may be."""

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
    titles, numbers = [column.lstrip("#") for column in columns], [column.startswith("#") for column in columns]
    cells = list(zip(titles, *filled, strict=True))
    widths = widest = [max(map(cell_len, column)) for column in cells]
    if sys.stdout.isatty():
        widths = _shared(list(map(_narrowest, cells, numbers)), widest, Console().width - _GAP * (len(columns) - 1))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title, is_numbers, width in zip(titles, numbers, widths, strict=True):
        table.add_column(title, justify="right" if is_numbers else "left", overflow="fold", width=width)
    for row in filled:
        table.add_row(*row)
    # A pipe has no width: a file or a `grep` gets every row on one line. A terminal that is narrower than the words are
    # breaks the lines by itself: so an id that is copied from it is whole.
    Console(markup=False, highlight=False, width=sum(widths) + _GAP * (len(columns) - 1)).print(table)


def _narrowest(cells: Sequence[str], is_numbers: bool) -> int:
    """How narrow a column may become, its title first: no word is broken, and no number."""
    words = [*cells[0].split(), *(cells[1:] if is_numbers else " ".join(cells[1:]).split())]
    return min(_LONGEST_WORD, max(map(cell_len, words), default=1))


def _shared(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """The columns' widths: what of the room is more than the least goes to all alike, as far as each has use for it.

    rich's own `min_width` does not hold: it makes the widest column narrower first, and cuts off what is too much then.
    """
    widths, left = list(least), room - sum(least)
    for others, at in enumerate(sorted(range(len(widths)), key=lambda at: most[at] - least[at])):
        more = min(most[at] - least[at], max(0, left // (len(widths) - others)))
        widths[at] += more
        left -= more
    return widths


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
