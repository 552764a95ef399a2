"""What rows add up to, computed here from the source and in SQL from what is stored: equal, or nothing was imported.

The checksum is the sum, modulo 2^64, of the first eight bytes of each row's SHA-256: no order, and no row counts
another one out. A row is hashed as the text that PostgreSQL makes of a row (``canonical``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tapi_agent.domain.importing.tables import OldTable, Row

_MODULUS: Final = 2**64
_needs_quotes: Final = re.compile(r'[ \t\n\v\f\r"\\(),]').search


@dataclass(frozen=True, slots=True)
class Measure:
    """What the integers of one column come to; ``low`` and ``high`` are ``None`` when all are NULL."""

    low: int | None
    high: int | None
    total: int

    def __add__(self, other: Measure) -> Measure:
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        return Measure(min(lows, default=None), max(highs, default=None), self.total + other.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Of some rows: how many, a measure for each of the table's ``integers``, and the checksum of their contents."""

    rows: int
    checksum: int
    measures: tuple[Measure, ...]

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            rows=self.rows + other.rows,
            checksum=(self.checksum + other.checksum) % _MODULUS,
            measures=tuple(map(Measure.__add__, self.measures, other.measures)),
        )


def tally(table: OldTable, rows: Sequence[Row]) -> Tally:
    """What ``rows`` add up to."""
    columns = dict(zip(table.staged, zip(*rows, strict=True), strict=True)) if rows else {}
    return Tally(
        rows=len(rows),
        checksum=sum(map(_digest, canonical(list(columns.values())))) % _MODULUS,
        measures=tuple(_measure(columns.get(name, ())) for name in table.integers),
    )


def canonical(columns: Sequence[Sequence[object]]) -> Iterator[str]:
    """The rows of these columns as ``row::text`` writes them: ``(1,cam-01,"{""a"": 1}",)``, NULL as nothing."""
    for fields in zip(*map(_fields, columns), strict=True):
        yield f"({','.join(fields)})"


def _digest(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def _fields(values: Sequence[object]) -> list[str]:
    """By column, as nearly all have one type, and rows are many."""
    if set(map(type, values)) == {int}:
        return list(map(str, values))
    return [_WRITERS[type(value)](value) for value in values]


def _text(value: str) -> str:
    if value and not _needs_quotes(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '""') + '"'


_WRITERS: Final[Mapping[type, Callable[[Any], str]]] = {
    NoneType: lambda _: "",
    bool: lambda value: "t" if value else "f",
    int: str,
    str: _text,
    bytes: lambda value: f'"\\\\x{value.hex()}"',
}


def _measure(values: Sequence[object]) -> Measure:
    numbers = [value for value in values if isinstance(value, int)]
    return Measure(min(numbers, default=None), max(numbers, default=None), sum(numbers))
