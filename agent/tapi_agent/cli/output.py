"""How replies are shown: tables for people, JSON for machines. Colour only on a terminal.

Cells and lines are rich markup: what comes from outside goes through ``safe``.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tapi_agent.cli.text import harmless

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

STATE_STYLES: Final = {"valid": "green", "offline": "cyan", "grace": "yellow", "expired": "red"}

console: Final = Console(highlight=False, emoji=False)


def show_json(document: object) -> None:
    """The reply as it came, indented, in ASCII: whatever the terminal's encoding."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def safe(text: object) -> str:
    """Text from outside, as markup that says just that; nothing for ``None``."""
    return "" if text is None else escape(harmless(text))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, whole: Collection[str] = ()) -> Table:
    """A table of cells in markup; nothing is cut off, and columns named in ``whole`` stay on one line, to be copied."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, no_wrap=column in whole, overflow="fold")
    for row in rows:
        shown.add_row(*("" if cell is None else str(cell) for cell in row))
    return shown


def facts(pairs: Mapping[str, str]) -> Table:
    """Names left, markup right."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column(overflow="fold")
    for name, text in pairs.items():
        shown.add_row(name, text)
    return shown


def warn(text: str) -> None:
    """A line that an operator should not miss, in markup."""
    console.print(facts({"[yellow]![/]": text}))


def state(name: str) -> str:
    """A state in its colour."""
    return f"[{STATE_STYLES.get(name, 'default')}]{safe(name)}[/]"
