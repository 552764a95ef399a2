"""Reads an old table in chunks, judged and added up; in a thread, one chunk ahead of the database."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from tapi_agent.domain.importing.quarantine import SetAside
from tapi_agent.domain.importing.tally import tally
from tapi_agent.services.importing.judging import judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tapi_agent.domain.importing.tables import OldTable, Row
    from tapi_agent.domain.importing.tally import Tally
    from tapi_agent.ports.imports import OldDatabase

_ROWS: Final = 2500
_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Rows fit to be stored and what they add up to, rows that are not, and about how many bytes they all hold."""

    table: OldTable
    rows: Sequence[Row]
    tally: Tally
    unfit: Sequence[SetAside]
    size: int


def chunks(database: OldDatabase, table: OldTable, foreign: frozenset[str]) -> Iterator[Chunk]:
    """The rows of a table, chunk by chunk, none of them empty."""
    for size, found in _portions(database.rows(table)):
        unfit = [row for row in found if isinstance(row, SetAside)]
        rows, flawed = judge(table, [row for row in found if not isinstance(row, SetAside)], foreign)
        yield Chunk(table=table, rows=rows, tally=tally(table, rows), unfit=[*unfit, *flawed], size=size)


def _portions(rows: Iterator[Row | SetAside]) -> Iterator[tuple[int, list[Row | SetAside]]]:
    """As many rows as are stored at once, and about how many bytes they hold: either number is bounded."""
    found: list[Row | SetAside] = []
    size = 0
    for row in rows:
        found.append(row)
        size += _size(row)
        if len(found) >= _ROWS or size >= _BYTES:
            yield size, found
            found, size = [], 0
    if found:
        yield size, found


def _size(row: Row | SetAside) -> int:
    return 0 if isinstance(row, SetAside) else sum(map(sys.getsizeof, row))


class Ahead:
    """Reads the next chunk in a thread while the caller is busy with this one.

    Not before ``start``: while rows are on their way to the database, a thread that computes would hold it up, as
    Python runs one at a time. Its end waits for the thread: then the file can be closed.
    """

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._coming: asyncio.Future[Chunk | None] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def start(self) -> None:
        """Read on, unless that was said before."""
        if self._coming is None:
            self._coming = asyncio.get_running_loop().run_in_executor(self._thread, next, self._chunks, None)

    async def next(self) -> Chunk | None:
        """The next chunk; ``None`` after the last."""
        self.start()
        assert self._coming is not None  # noqa: S101 - just started
        found, self._coming = await self._coming, None
        return found
