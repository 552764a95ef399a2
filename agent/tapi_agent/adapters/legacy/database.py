"""One old SQLite file: its soundness, its tables, its rows with the types they really have.

The file is untrusted: its schema may hold views and triggers (only plain tables are read, and reading fires none) and
functions in expressions (``trusted_schema`` is off), its values may be of any size (``_LARGEST``).
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from tapi_agent.domain.importing.checks import INT64, Undecodable
from tapi_agent.domain.importing.flaws import Flaw, QuarantineCode
from tapi_agent.domain.importing.quarantine import SetAside, content
from tapi_agent.ports.imports import Unfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tapi_agent.domain.importing.tables import OldTable, Row

_LARGEST: Final = 8 * 1024 * 1024
"""Bytes of a row: what is larger is no telemetry, and memory stays flat."""
_SETTINGS: Final = ("trusted_schema = OFF", "query_only = ON", "cache_size = -4096")
_TABLES: Final = """
SELECT name FROM sqlite_schema
WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND sql NOT LIKE 'CREATE VIRTUAL%'
ORDER BY name
"""


class LegacyDatabase:
    """Implements ``ports.imports.OldDatabase``. May be used by several threads, one at a time."""

    def __init__(self, path: Path, *, mode: str) -> None:
        with _damage():
            self._connection = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, check_same_thread=False)
        self._connection.text_factory = _text

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def verify(self) -> None:
        """Raise ``Unfit`` unless every page and index is as SQLite would have written it."""
        with _damage():
            for setting in _SETTINGS:
                self._connection.execute(f"PRAGMA {setting}")
            (verdict,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise Unfit(Flaw(QuarantineCode.DAMAGED_FILE, f"SQLite finds damage: {verdict}"))
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST)

    @property
    def tables(self) -> Mapping[str, Sequence[str]]:
        """Plain tables and their columns, generated ones included."""
        with _damage():
            names = [name for (name,) in self._connection.execute(_TABLES)]
            return {name: self._columns(name) for name in names}

    def rows(self, table: OldTable) -> Iterator[Row | SetAside]:
        """In the order of rowid, whatever the values are."""
        start = -INT64
        with _damage():
            while start < INT64:
                try:
                    for row in self._select(table, "rowid >= ? ORDER BY rowid", start):
                        start = row[0] + 1
                        yield row
                except sqlite3.DataError:  # the row after the next, or the next one itself, is too large
                    number = self._first(table, start)
                    start = number + 1
                    yield self._alone(table, number)
                else:
                    return

    def _alone(self, table: OldTable, number: int) -> Row | SetAside:
        """One row, or that it is too large; its values do not fit into memory then, and the old file keeps them."""
        try:
            row: Row = self._select(table, "rowid = ?", number).fetchone()
        except sqlite3.DataError:
            flaw = Flaw(QuarantineCode.VALUE_TOO_LARGE, f"more than {_LARGEST} bytes; the row is in the old file only")
            return SetAside(table=table.name, row_number=number, flaw=flaw, content=content([("rowid", number)]))
        return row

    def _select(self, table: OldTable, condition: str, number: int) -> sqlite3.Cursor:
        columns = ", ".join(map(_quoted, table.columns))
        query = f"SELECT rowid, {columns} FROM {_quoted(table.name)} WHERE {condition}"  # noqa: S608 - our names
        return self._connection.execute(query, (number,))

    def _first(self, table: OldTable, start: int) -> int:
        query = f"SELECT min(rowid) FROM {_quoted(table.name)} WHERE rowid >= ?"  # noqa: S608 - our names
        (number,) = self._connection.execute(query, (start,)).fetchone()
        return int(number)

    def _columns(self, table: str) -> list[str]:
        return [row[1] for row in self._connection.execute(f"PRAGMA table_xinfo({_quoted(table)})")]


@contextmanager
def _damage() -> Iterator[None]:
    """What SQLite cannot read is unfit; what the machine cannot give is not the file's fault."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(f"SQLite: {error}") from error
    except sqlite3.DatabaseError as error:
        code = QuarantineCode.NOT_A_DATABASE if _is_no_database(error) else QuarantineCode.DAMAGED_FILE
        raise Unfit(Flaw(code, f"SQLite cannot read it: {error}")) from error


def _is_no_database(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: bytes) -> str | Undecodable:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return Undecodable(value)
