"""How states that follow each other are shown: a table, and on a terminal a bar in the colors of the states."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tapi_agent.cli.output import STATE_STYLES, console, safe, state, table
from tapi_agent.cli.text import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDEST: Final = 72
_DATE: Final = len("2027-03-01")


def show_spans(spans: Sequence[dict[str, Any]], until: str | None = None) -> None:
    """The spans, and up to ``until`` to scale where the output is a terminal."""
    rows = ((moment(one["at"]), state(one["state"]), safe(one["reason"])) for one in spans)
    console.print(table(("FROM", "STATE", "REASON"), rows))
    lines = bar(spans, until, min(_WIDEST, console.width)) if until and console.is_terminal else ()
    console.print(*lines, "", sep="\n")


def bar(spans: Sequence[dict[str, Any]], until: str, width: int) -> tuple[str, ...]:
    """A line of blocks in markup, as long as the spans, and below it the dates; nothing where nothing lasts."""
    starts = [datetime.fromisoformat(one["at"]) for one in spans]
    end = datetime.fromisoformat(until)
    if end <= starts[0]:
        return ()
    places = [int((at - starts[0]) / (end - starts[0]) * width) for at in starts]
    # A short span is still one block wide: it pushes the later ones to the right, never past the end.
    for number in range(1, len(places)):
        places[number] = max(places[number], places[number - 1] + 1)
    places = [min(place, width - len(places) + number) for number, place in enumerate(places)]
    lengths = (after - place for place, after in zip(places, [*places[1:], width], strict=True))
    blocks = (_block(one["state"], length) for one, length in zip(spans, lengths, strict=True))
    labels = [*zip(places, (f"{at:%Y-%m-%d}" for at in starts), strict=True)]
    return "".join(blocks), _dates(labels, f"{end:%Y-%m-%d}", width)


def _block(name: str, length: int) -> str:
    return f"[{STATE_STYLES.get(name, 'default')}]{'█' * length}[/]"


def _dates(labels: Iterable[tuple[int, str]], last: str, width: int) -> str:
    """Each date below the start of its span where there is room, ``last`` at the end."""
    line = ""
    for place, date in labels:
        if (not line or place > len(line)) and place + _DATE < width - len(last):
            line = line.ljust(place) + date
    return line.ljust(width - len(last)) + last
