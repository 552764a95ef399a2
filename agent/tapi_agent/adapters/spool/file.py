"""An open spool file: what is in it, and how it is read and written. Knows no thread and no queue; see ``spool``."""

from __future__ import annotations

import os
import sqlite3
import zlib
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import structlog

from tapi_agent.adapters.spool import sums
from tapi_agent.adapters.spool.home import Home
from tapi_agent.adapters.spool.rows import SELECT, DamagedError, believed, checked, inserts, texts
from tapi_agent.domain.canonical import event_id_of
from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.domain.ids import StreamId, trusted_ms
from tapi_agent.domain.tally import take_away, tally
from tapi_agent.domain.usage import SpooledEvent
from tapi_agent.failpoints import Failpoint, reach
from tapi_agent.ports.spool import SpoolAccount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tapi_agent.adapters.spool.home import Box
    from tapi_agent.domain.usage import UsageTotal

log = structlog.get_logger(__name__)

_FORMAT: Final = 2
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
_SUSPECT: Final = "UPDATE spool SET copied_from = ?, suspect_seq = ?"
_SETTLE: Final = "UPDATE spool SET home = ?"
_SCHEMA: Final = files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
_UPGRADE: Final = files(__package__).joinpath("upgrade.sql").read_text(encoding="utf-8")


class SpoolFile:
    """One spool file with two connections: ``append`` and ``discard`` use the first, what reads the second.

    Each is for one thread at a time. All raise ``sqlite3.Error``, or ``DamagedError`` for a row that was altered.
    """

    def __init__(self, path: Path, *, floor: datetime, box: Box) -> None:
        """Open ``path``, a file of ``box``; a new one keeps events from ``floor`` on."""
        _create(path)
        with ExitStack() as opened:
            # Closed at once if anything fails: a connection left to the garbage collector would delete the write-ahead
            # log of whatever file stands under this name by then.
            self._writer = opened.enter_context(closing(_connect(path)))
            sums.prepare(self._writer)
            _make(self._writer, floor)
            self._reader = opened.enter_context(closing(_connect(path)))
            with believed():
                self._settle_in(Home(box=box, inode=path.stat().st_ino))
                self._read_state()
            self._connections = opened.pop_all()

    def _read_state(self) -> None:
        stream, self.drained_seq, newest_ms, floor = self._row(
            "SELECT stream, drained_seq, newest_ms, dedupe_floor FROM spool"
        )
        self.stream = StreamId(UUID(bytes=stream))
        self.dedupe_floor = datetime.fromisoformat(floor)
        self.last_seq = self._last_seq()
        self.newest_ms = max(newest_ms, self._newest_waiting())
        self._check_order()

    def _check_order(self) -> None:
        """A seq that is given twice would be taken for one that the database has."""
        oldest, latest = self._row(
            "SELECT coalesce(min(seq), ?1 + 1), coalesce(max(seq), ?1) FROM events", self.drained_seq
        )
        if not self.drained_seq < oldest <= latest + 1 <= self.last_seq + 1:
            raise DamagedError(
                f"seqs {oldest} to {latest} wait behind {self.drained_seq}, the last was {self.last_seq}"
            )

    def append(self, canonical: Sequence[str], *, totals: Sequence[UsageTotal], newest_ms: int = 0) -> None:
        """Write ``canonical`` texts under the next seqs, and their ``totals``, durable on return; on an error nothing.

        ``newest_ms``: the latest trusted time in their ids.
        """
        rows = [(seq, zlib.crc32(text.encode()), text) for seq, text in enumerate(canonical, self.last_seq + 1)]
        with self._transaction() as connection:
            for statement, values in inserts(rows):
                connection.execute(statement, values)
            sums.add(connection, sums.ACCEPTED, totals)
            reach(Failpoint.SPOOL_APPEND_WRITTEN)
        self.last_seq += len(rows)
        self.newest_ms = max(self.newest_ms, newest_ms)

    def discard(self, through: int, *, stream: StreamId, totals: Sequence[UsageTotal] = ()) -> None:
        """Delete up to and including ``through``, if this is still the file of ``stream`` and has not yet."""
        if stream != self.stream or through <= self.drained_seq:
            return
        reach(Failpoint.SPOOL_DISCARD_BEGUN)
        with self._transaction() as connection:
            # Of all that waits nothing need be read.
            gone = sums.waiting(connection) if through == self.last_seq else sums.until(connection, through, totals)
            sums.add(connection, sums.DRAINED, gone)
            connection.execute("DELETE FROM events WHERE seq <= ?", (through,))
            connection.execute("UPDATE spool SET drained_seq = ?, newest_ms = ?", (through, self.newest_ms))
            reach(Failpoint.SPOOL_DISCARD_WRITTEN)
        reach(Failpoint.SPOOL_DISCARD_COMMITTED)
        self.drained_seq = through
        if through == self.last_seq:
            self._give_space_back()

    def renew(self) -> None:
        """Begin a new stream with what waits: the seqs of the old one are in use elsewhere."""
        with self._transaction() as connection:
            self._begin_stream(connection)
            reach(Failpoint.SPOOL_RENEW_WRITTEN)
        reach(Failpoint.SPOOL_RENEW_COMMITTED)
        self._read_state()

    def suspect(self, original: bytes) -> None:
        """Note that all that waits is in the file of the stream ``original`` as well."""
        with self._transaction() as connection:
            connection.execute(_SUSPECT, (original, self.last_seq))

    def account(self) -> SpoolAccount:
        """What was accepted in this stream and what of it waits, at one instant."""
        with self._snapshot() as connection, believed():
            stream, drained_seq, copied_from, suspect_seq = connection.execute(
                "SELECT stream, drained_seq, copied_from, suspect_seq FROM spool"
            ).fetchone()
            return SpoolAccount(
                stream=StreamId(UUID(bytes=stream)),
                drained_seq=drained_seq,
                last_seq=self._last_seq(),
                accepted=sums.read(connection, sums.ACCEPTED),
                drained=sums.read(connection, sums.DRAINED),
                copied_from=StreamId(UUID(bytes=copied_from)) if copied_from else None,
                suspect_seq=suspect_seq,
            )

    def waiting(self, after: int) -> list[UsageTotal]:
        """What waits behind seq ``after``: all that waits but the little that the database has already."""
        with self._snapshot() as connection:
            had = tally(texts(connection, after)) if after > self.drained_seq else []
            return take_away(sums.waiting(connection), had)

    def raise_floor(self, floor: datetime) -> None:
        """Make ``floor`` the oldest instant of which events are kept, unless that is later already."""
        if floor > self.dedupe_floor:
            with self._transaction() as connection:
                connection.execute("UPDATE spool SET dedupe_floor = ?", (floor.isoformat(),))
            self.dedupe_floor = floor

    def head(self, limit: int, *, after: int = 0) -> list[SpooledEvent]:
        """The oldest events behind seq ``after``."""
        rows = self._reader.execute(f"{SELECT} WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return [SpooledEvent(stream=self.stream, seq=row[0], canonical=checked(row)) for row in rows.fetchall()]

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

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        self._reader.execute("BEGIN")
        try:
            yield self._reader
        finally:
            self._reader.execute("COMMIT")

    def _settle_in(self, home: Home) -> None:
        """Make this the file's home if it has none yet; in another than its own it is a copy, and another stream."""
        known, stream = self._row("SELECT home, stream FROM spool")
        if not known:
            self._writer.execute(_SETTLE, (home.text(),))
        elif not home.is_that_of(known):
            self._become_copy(stream, home)
            log.warning("spool.copied", copied_from=str(UUID(bytes=stream)))

    def _become_copy(self, original: bytes, home: Home) -> None:
        with self._transaction() as connection:
            self._begin_stream(connection)
            connection.execute(_SUSPECT, (original, self._last_seq()))
            connection.execute(_SETTLE, (home.text(),))
            reach(Failpoint.SPOOL_COPY_WRITTEN)
        reach(Failpoint.SPOOL_COPY_COMMITTED)

    def _begin_stream(self, connection: sqlite3.Connection) -> None:
        sums.begin_anew(connection)
        connection.execute("UPDATE spool SET stream = ?", (uuid4().bytes,))

    def _last_seq(self) -> int:
        (last_seq,) = self._row("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'")
        return int(last_seq)

    def _give_space_back(self) -> None:
        """Once nothing waits: a backlog's pages go back to the disk, bit by bit; a working set of them stays."""
        try:
            self._vacuum()
        except sqlite3.OperationalError:  # that needs some space itself: the log's, or that of a next time
            with suppress(sqlite3.OperationalError):
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self._vacuum()

    def _vacuum(self) -> None:
        (spare,) = self._writer.execute("PRAGMA freelist_count").fetchone()
        surplus = min(spare - _SPARE_PAGES, _PAGES_AT_ONCE)
        if surplus > 0:
            # By execute() it would free a single page: that steps a statement once.
            self._writer.executescript(f"PRAGMA incremental_vacuum({surplus}); PRAGMA wal_checkpoint(TRUNCATE)")

    def _newest_waiting(self) -> int:
        rows = self._reader.execute(f"{SELECT} ORDER BY seq DESC LIMIT ?", (_LATEST,))
        return max((trusted_ms(event_id_of(checked(row))) for row in rows.fetchall()), default=0)

    def _row(self, query: str, *values: object) -> Any:  # noqa: ANN401 - as sqlite3 types its rows
        return self._reader.execute(query, values).fetchone()


def _connect(path: Path) -> sqlite3.Connection:
    with ExitStack() as opened:
        connection = opened.enter_context(closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)))
        connection.text_factory = partial(
            str, encoding="utf-8", errors="replace"
        )  # what was altered is found by its form
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
    if found == 1:
        _upgrade(connection)
    connection.execute(
        "INSERT OR IGNORE INTO spool (only_row, stream, dedupe_floor, home) VALUES (1, ?, ?, '')",
        (uuid4().bytes, floor.isoformat()),
    )


def _upgrade(connection: sqlite3.Connection) -> None:
    """From format 1, all or nothing: a kill leaves a file of the old format."""
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{_UPGRADE}")
        sums.add(connection, sums.ACCEPTED, tally(texts(connection)))
        connection.execute("UPDATE spool SET stream = ?", (uuid4().bytes,))
        reach(Failpoint.SPOOL_UPGRADE_WRITTEN)
        connection.execute("COMMIT")
        reach(Failpoint.SPOOL_UPGRADE_COMMITTED)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


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
