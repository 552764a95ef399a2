"""The ledger's file: one SQLite database. What has been answered is on the disk, whatever happens to the process.

Owns connections, transactions and durability. What stands in the tables is the business of ``subscriptions``, ``usage``
and ``totals``; their functions take the connection of a transaction as their first argument.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from importlib.resources import files
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.sandbox.amounts import ExactSum

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SCHEMA: Final = ("schema.sql", "leases.sql")
"""What each version added, in order. A ledger of an earlier version is brought up to date when it is opened."""
_BUSY_SECONDS: Final = 5.0

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Ledger:
    """The ledger in the file ``path``, created (0600) if absent. ``ConfigurationError`` if it cannot be used."""

    def __init__(self, path: Path) -> None:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._writer = _Session(path, begin="BEGIN IMMEDIATE")
            self._writer.ensure_schema()
            self._reader = _Session(path, begin="BEGIN")
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"{path} cannot be used as the sandbox's ledger: {error}", fix="name another file with --state"
            ) from error

    def close(self) -> None:
        """Close the file. What was committed stays."""
        self._reader.close()
        self._writer.close()

    async def read(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """The result of ``work`` on one consistent snapshot. It never waits for a writer."""
        return await asyncio.to_thread(self._reader.transact, lambda db: work(db, *args, **kwargs))

    async def write(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """The result of ``work``, when all it wrote is on the disk. If it raises, nothing is."""
        return await asyncio.to_thread(self._writer.transact, lambda db: work(db, *args, **kwargs))


class _Session:
    """A connection, used by one thread at a time."""

    def __init__(self, path: Path, *, begin: str) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.create_aggregate("exact_sum", 1, ExactSum)  # type: ignore[arg-type]  # typeshed knows sums of int only
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")  # in WAL mode, NORMAL would lose commits in a power cut
        self._connection.execute("PRAGMA foreign_keys = ON")

    def ensure_schema(self) -> None:
        version: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(_SCHEMA):
            raise sqlite3.DatabaseError(f"it has schema version {version}, this program writes {len(_SCHEMA)}")
        for script in _SCHEMA[version:]:
            self._connection.executescript(files(__package__).joinpath(script).read_text())

    def transact(self, work: Callable[[sqlite3.Connection], _R]) -> _R:
        with self._lock:
            self._connection.execute(self._begin)
            try:
                result = work(self._connection)
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise
            return result

    def close(self) -> None:
        with self._lock:
            self._connection.close()
