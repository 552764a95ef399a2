"""What is still to be told, on disk: an edge that was put here outlives a power cut. Owns the file; sends nothing.

Called by several threads, each call with a connection of its own: there are few calls, and SQLite keeps them apart.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Final

from tapi_webhook.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_BUSY_S: Final = 2.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    url TEXT NOT NULL,
    message_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    at TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (url, message_id)
)
"""

_log = logging.getLogger(__name__)


class Outbox:
    """The messages for each of ``urls``, in order; what waits for anybody else is dropped.

    Any call may raise ``sqlite3.Error`` or ``OSError``: a disk, full or bad. A file that is no database any more is set
    aside beside the new one.
    """

    def __init__(self, folder: Path, urls: Sequence[str]) -> None:
        self._file = folder / "outbox.db"
        self._urls = tuple(urls)
        self._ready = False
        self._preparing = Lock()

    def put(self, message: Message) -> None:
        """Durable on return. A message that is waiting already is not put twice."""
        at = message.at.isoformat()
        rows = [(url, message.message_id, message.subject, at, message.body) for url in self._urls]
        with self._connection() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO outbox (url, message_id, subject, at, body) VALUES (?, ?, ?, ?, ?)", rows
            )

    def heads(self, url: str) -> list[Message]:
        """The oldest message of each subject, the oldest of all first."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT message_id, subject, at, body FROM outbox "
                "WHERE seq IN (SELECT min(seq) FROM outbox WHERE url = ? GROUP BY subject) ORDER BY seq",
                (url,),
            ).fetchall()
        return [
            Message(message_id=message_id, subject=subject, at=datetime.fromisoformat(at), body=body)
            for message_id, subject, at, body in rows
        ]

    def remove(self, url: str, message_id: str) -> None:
        """It has arrived."""
        with self._connection() as connection:
            connection.execute("DELETE FROM outbox WHERE url = ? AND message_id = ?", (url, message_id))

    def give_up(self, url: str, *, before: datetime) -> list[str]:
        """Remove what happened earlier than that; the ids of what is gone."""
        with self._connection() as connection:
            rows = connection.execute(
                "DELETE FROM outbox WHERE url = ? AND at < ? RETURNING message_id",
                (url, before.astimezone(UTC).isoformat()),
            ).fetchall()
        return [message_id for (message_id,) in rows]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with self._preparing:
            if not self._ready:
                self._prepare()
        with closing(self._open()) as connection, connection:
            yield connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=_BUSY_S)
        connection.execute("PRAGMA synchronous = EXTRA")  # FULL may forget the last commit at a power cut
        return connection

    def _prepare(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file.touch(mode=0o600)
        try:
            self._create()
        except sqlite3.OperationalError:  # locked, full, unreadable: the file itself may be good
            raise
        except sqlite3.DatabaseError:
            self._set_aside()
            self._create()
        self._ready = True

    def _create(self) -> None:
        with closing(self._open()) as connection, connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            connection.execute(_SCHEMA)
            marks = ", ".join("?" * len(self._urls))
            connection.execute(f"DELETE FROM outbox WHERE url NOT IN ({marks})", self._urls)  # noqa: S608 - only marks

    def _set_aside(self) -> None:
        evidence = self._file.with_name("outbox.db.corrupt")
        self._file.replace(evidence)
        self._file.touch(mode=0o600)
        _log.error("the webhook outbox was damaged: what waited in it is lost; it is kept as %s", evidence)
