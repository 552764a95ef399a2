"""An open spool file: what is in it, and how it is read and written. Knows no thread and no queue; see ``spool``."""

from __future__ import annotations

import os
import sqlite3
import zlib
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from tapi_agent.domain.canonical import event_id_of
from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.domain.ids import StreamId, trusted_ms
from tapi_agent.domain.usage import SpooledEvent
from tapi_agent.failpoints import Failpoint, reach

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_FORMAT: Final = 1
_PRAGMAS: Final = (
    "auto_vacuum = INCREMENTAL",  # only works before anything is written
    "journal_mode = WAL",
    "synchronous = FULL",  # NORMAL loses acknowledged events in a power cut
    "journal_size_limit = 16777216",
    "cell_size_check = ON",
)
_SPARE_PAGES: Final = 1024
_PAGES_AT_ONCE: Final = 8192
_LATEST: Final = 1000
_MOST_ROWS: Final = 256
_INSERT: Final = "INSERT INTO events (seq, crc32, canonical) VALUES "
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SCHEMA: Final = files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")


class DamagedError(Exception):
    """A row does not match its checksum."""


def is_damage(error: BaseException) -> bool:
    """Whether the file is broken, rather than the disk full or the directory gone."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in _DAMAGED or isinstance(error, DamagedError)


def checked(row: tuple[int, int, bytes]) -> str:
    """The text in a row of seq, crc32 and canonical; ``DamagedError`` when it is not what was written."""
    seq, crc32, text = row
    if zlib.crc32(text) != crc32:
        raise DamagedError(f"the text of seq {seq} is not what was written")
    return text.decode()


class SpoolFile:
    """One spool file with two connections: ``append`` and ``discard`` use the first, what reads the second.

    Each is for one thread at a time. All raise ``sqlite3.Error``, or ``DamagedError`` for a row that was altered.
    """

    def __init__(self, path: Path, *, floor: datetime) -> None:
        """Open ``path``, or make it with ``floor`` as the oldest instant of which it keeps events."""
        _create(path)
        with ExitStack() as opened:
            # Closed at once if anything fails: a connection left to the garbage collector would delete the write-ahead
            # log of whatever file stands under this name by then.
            self._writer = opened.enter_context(closing(_connect(path)))
            _make(self._writer, floor)
            self._reader = opened.enter_context(closing(_connect(path)))
            self._reader.text_factory = bytes  # a flipped bit is the checksum's to find, not the decoder's
            self._read_state()
            self._connections = opened.pop_all()

    def _read_state(self) -> None:
        stream, self.drained_seq, newest_ms, floor = self._row(
            "SELECT stream, drained_seq, newest_ms, dedupe_floor FROM spool"
        )
        self.stream = StreamId(UUID(bytes=stream))
        self.dedupe_floor = datetime.fromisoformat(floor.decode())
        self.last_seq: int
        (self.last_seq,) = self._row("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'")
        self.newest_ms = max(newest_ms, self._newest_waiting())

    def append(self, texts: Sequence[str], *, newest_ms: int = 0) -> None:
        """Write canonical texts under the next seqs, durable on return; on an error none of them.

        ``newest_ms``: the latest trusted time in their ids.
        """
        rows = [(seq, zlib.crc32(text.encode()), text) for seq, text in enumerate(texts, self.last_seq + 1)]
        with self._transaction() as connection:
            for statement, values in _inserts(rows):
                connection.execute(statement, values)
            reach(Failpoint.SPOOL_APPEND_WRITTEN)
        self.last_seq += len(rows)
        self.newest_ms = max(self.newest_ms, newest_ms)

    def discard(self, through: int, *, stream: StreamId) -> None:
        """Delete up to and including ``through``, if this is still the file of ``stream``."""
        if stream != self.stream:
            return
        with self._transaction() as connection:
            connection.execute("DELETE FROM events WHERE seq <= ?", (through,))
            connection.execute("UPDATE spool SET drained_seq = ?, newest_ms = ?", (through, self.newest_ms))
        self.drained_seq = through
        if through == self.last_seq:
            self._give_space_back()

    def raise_floor(self, floor: datetime) -> None:
        """Make ``floor`` the oldest instant of which events are kept, unless that is later already."""
        if floor > self.dedupe_floor:
            with self._transaction() as connection:
                connection.execute("UPDATE spool SET dedupe_floor = ?", (floor.isoformat(),))
            self.dedupe_floor = floor

    def head(self, limit: int) -> list[SpooledEvent]:
        """The oldest events."""
        rows = self._reader.execute("SELECT seq, crc32, canonical FROM events ORDER BY seq LIMIT ?", (limit,))
        return [SpooledEvent(stream=self.stream, seq=row[0], canonical=checked(row)) for row in rows.fetchall()]

    def texts(self, after: int) -> Iterator[str]:
        """The canonical text of everything that waits behind seq ``after``, oldest first."""
        query = "SELECT seq, crc32, canonical FROM events WHERE seq > ? ORDER BY seq"
        with closing(self._reader.cursor()) as cursor:
            for row in cursor.execute(query, (after,)):
                yield checked(row)

    def close(self) -> None:
        """Close both connections; the file stays as it is."""
        self._connections.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        finally:
            # On a full disk SQLite has sometimes rolled back by itself.
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    def _give_space_back(self) -> None:
        """Once nothing waits: a backlog's pages go back to the disk, bit by bit; a working set of them stays."""
        (spare,) = self._writer.execute("PRAGMA freelist_count").fetchone()
        surplus = min(spare - _SPARE_PAGES, _PAGES_AT_ONCE)
        if surplus > 0:
            # By execute() it would free a single page: that steps a statement once.
            self._writer.executescript(f"PRAGMA incremental_vacuum({surplus})")

    def _newest_waiting(self) -> int:
        rows = self._reader.execute("SELECT seq, crc32, canonical FROM events ORDER BY seq DESC LIMIT ?", (_LATEST,))
        return max((trusted_ms(event_id_of(checked(row))) for row in rows.fetchall()), default=0)

    def _row(self, query: str) -> Any:  # noqa: ANN401 - as sqlite3 types its rows
        return self._reader.execute(query).fetchone()


def _inserts(rows: Sequence[tuple[int, int, str]]) -> Iterator[tuple[str, list[int | str]]]:
    """Statements of many rows each, in sizes of which there are few, so that SQLite keeps them prepared.

    Row by row the thread would give up the interpreter's lock at every one, and wait for a busy event loop each time.
    """
    start = 0
    while left := len(rows) - start:
        size = min(1 << left.bit_length() - 1, _MOST_ROWS)
        values = [value for row in rows[start : start + size] for value in row]
        yield _INSERT + ",".join(["(?,?,?)"] * size), values
        start += size


def _connect(path: Path) -> sqlite3.Connection:
    with ExitStack() as opened:
        connection = opened.enter_context(closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)))
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        opened.pop_all()
    return connection


def _make(connection: sqlite3.Connection, floor: datetime) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > _FORMAT:
        raise ConfigurationError(
            f"the spool has format {found}, this agent knows {_FORMAT}", fix="install the tapi-agent that wrote it"
        )
    if found == 0:
        connection.executescript(f"BEGIN IMMEDIATE;\n{_SCHEMA}\nCOMMIT;")
    connection.execute(
        "INSERT OR IGNORE INTO spool (only_row, stream, dedupe_floor) VALUES (1, ?, ?)",
        (uuid4().bytes, floor.isoformat()),
    )


def _create(path: Path) -> None:
    """So that nobody else can ever read it (SQLite gives its companions the same mode), and its name is durable.

    Only before the first connection: closing any handle of a file drops the locks SQLite holds on it.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
