"""The rows of a spool file: how many are written at once, when one is believed, and when the file is not."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SELECT: Final = "SELECT seq, crc32, CAST(canonical AS BLOB) FROM events"
"""As bytes: a flipped bit is the checksum's to find, not the decoder's."""
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MOST_ROWS: Final = 256
_MOST_READ: Final = 1000
_HIGHEST: Final = 2**63 - 1
_INSERT: Final = "INSERT INTO events (seq, crc32, canonical) VALUES "


class DamagedError(Exception):
    """What is read is not what was written."""


def is_damage(error: BaseException) -> bool:
    """Whether the file is broken, rather than the disk full or the directory gone."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in _DAMAGED or isinstance(error, DamagedError)


@contextmanager
def believed() -> Iterator[None]:
    """What is read here has no checksum; when it is not even in our form, it was altered."""
    try:
        yield
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise DamagedError(f"the file says what nobody wrote: {error}") from error


def checked(row: tuple[int, int, bytes]) -> str:
    """The text in a row of seq, crc32 and canonical; ``DamagedError`` when it is not what was written."""
    seq, crc32, text = row
    if zlib.crc32(text) != crc32:
        raise DamagedError(f"the text of seq {seq} is not what was written")
    return text.decode()


def inserts(rows: Sequence[tuple[int, int, str]]) -> Iterator[tuple[str, list[int | str]]]:
    """Statements of many rows each, in sizes of which there are few, so that SQLite keeps them prepared.

    Row by row the thread would give up the interpreter's lock at every one, and wait for a busy event loop each time.
    """
    start = 0
    while left := len(rows) - start:
        size = min(1 << left.bit_length() - 1, _MOST_ROWS)
        values = [value for row in rows[start : start + size] for value in row]
        yield _INSERT + ",".join(["(?,?,?)"] * size), values
        start += size


def texts(connection: sqlite3.Connection, through: int | None = None) -> Iterator[str]:
    """The canonical text of what waits, up to seq ``through``, oldest first."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"{SELECT} WHERE seq <= ? ORDER BY seq", (_HIGHEST if through is None else through,))
        while rows := cursor.fetchmany(_MOST_READ):
            yield from map(checked, rows)
