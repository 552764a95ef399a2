"""Brings the schema to the package's version: our own small runner (ADR 0010).

Owns the order, the lock and the record of what was applied; the SQL is in ``migrations/NNNN_what.sql``, immutable once
released. Called by ``tapi-agent migrate`` and, in the background, by the daemon whenever PostgreSQL comes up.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.rows import DictRow, dict_row

from tapi_agent.adapters.postgres.connection import complete
from tapi_agent.adapters.postgres.errors import DatabaseRejected, translate
from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from tapi_agent.adapters.postgres.pool import Database

_SQL = load_queries("migrations")
_FILE: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_CONNECT: Final = timedelta(seconds=3)
_SESSION: Final = {
    "TimeZone": "UTC",
    "statement_timeout": "0",  # a migration takes what it takes
    "lock_timeout": "30000",  # another agent's migration, or a reader in the way
    "idle_in_transaction_session_timeout": "60000",
    "client_connection_check_interval": "1000",  # a killed agent's statement ends, and frees the migrators' lock
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file of the package: ``0003_usage.sql`` has version 3 and name ``usage``."""

    version: int
    name: str
    sha256: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One migration the database has: when (database clock), how long it took, by which version of the agent."""

    version: int
    name: str
    sha256: str
    applied_at: datetime
    duration: timedelta
    agent_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """One migration of the package, and its record in the database, if it has been applied."""

    version: int
    name: str
    applied: Applied | None


class Migrator:
    """Applies the files of ``directory`` to the database at ``dsn``."""

    def __init__(self, *, dsn: str, directory: Path, agent_version: str) -> None:
        self._conninfo = complete(dsn, connect_timeout=_CONNECT, session=_SESSION)
        self._directory = directory
        self._agent_version = agent_version
        self._version = 0

    async def up(self, report: Callable[[Applied], None] = lambda _: None) -> list[Applied]:
        """Apply what is missing, in order, each file in one transaction with its record; tell ``report`` after each.

        Safe to call again, from several agents at once, and after a kill. Raises ``ConfigurationError`` when files and
        database disagree, or a file fails; ``UnavailableError`` when PostgreSQL is, or another agent still migrates.
        """
        migrations = read_migrations(self._directory)
        done: list[Applied] = []
        async with self._connection() as connection:
            # Held by the session, so that a killed agent frees it.
            await connection.execute(_SQL.lock)
            await connection.execute(_SQL.bootstrap)
            for migration in _pending(migrations, await _applied(connection)):
                done.append(await self._apply(connection, migration))
                report(done[-1])
        self._version = len(migrations)
        return done

    async def status(self) -> list[MigrationStatus]:
        """Every migration of the package and whether it was applied; raises as ``up`` does, and changes nothing."""
        migrations = read_migrations(self._directory)
        async with self._connection() as connection:
            applied = await _applied(connection)
        _pending(migrations, applied)
        return [MigrationStatus(version=m.version, name=m.name, applied=applied.get(m.version)) for m in migrations]

    async def confirm(self, database: Database) -> None:
        """Raise ``UnavailableError`` unless the database still has what ``up`` left in it, as one that was emptied."""
        async with database.connection() as connection:
            found = (await (await connection.execute(_SQL.version)).fetchall())[0]["version"]
        if found != self._version:
            raise UnavailableError(f"the database has gone from migration {self._version:04} to {found:04}")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[DictRow]]:
        try:
            connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True, row_factory=dict_row)
            async with connection:
                yield connection
        except psycopg.Error as error:
            raise translate(error) from error

    async def _apply(self, connection: psycopg.AsyncConnection[DictRow], migration: Migration) -> Applied:
        record = {"version": migration.version, "name": migration.name, "sha256": migration.sha256}
        try:
            async with connection.transaction():
                await connection.execute(migration.text)
                cursor = await connection.execute(_SQL.record, {**record, "agent_version": self._agent_version})
                return Applied(**(await cursor.fetchone() or {}))
        except psycopg.Error as error:
            raise _failed(migration, error) from error


def read_migrations(directory: Path) -> list[Migration]:
    """The files of ``directory`` in order; raises ``ConfigurationError`` for a stray name, a repeated number, a gap."""
    files = sorted(directory.glob("*.sql"))
    if not files:
        raise ConfigurationError(f"no migrations in {directory.name}/", fix="reinstall tapi-agent")
    migrations = [_read(file) for file in files]
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise ConfigurationError(f"migration {expected:04} is missing", fix="reinstall tapi-agent")
    return migrations


def _read(file: Path) -> Migration:
    match = _FILE.fullmatch(file.name)
    if match is None:
        raise ConfigurationError(f"{file.name} is no name for a migration", fix="name it NNNN_what.sql")
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return Migration(version=int(match[1]), name=match[2], sha256=digest, text=content.decode())


async def _applied(connection: psycopg.AsyncConnection[DictRow]) -> dict[int, Applied]:
    if not (await (await connection.execute(_SQL.has_record)).fetchall())[0]["present"]:
        return {}
    cursor = await connection.execute(_SQL.applied)
    return {row["version"]: Applied(**row) async for row in cursor}


def _pending(migrations: Sequence[Migration], applied: Mapping[int, Applied]) -> Sequence[Migration]:
    """What is left to do; raises ``ConfigurationError`` when what was done is not how the package begins."""
    if applied and max(applied) > len(migrations):
        raise ConfigurationError(
            f"the database is at migration {max(applied):04}, this package ends at {len(migrations):04}",
            fix="install the tapi-agent that migrated it, or a later one",
        )
    for migration in migrations[: max(applied, default=0)]:
        _verify(migration, applied.get(migration.version))
    return migrations[len(applied) :]


def _verify(migration: Migration, applied: Applied | None) -> None:
    label = f"migration {migration.version:04}_{migration.name}"
    if applied is None:
        raise ConfigurationError(
            f"{label} was skipped: later ones are applied", fix="restore the database from a backup"
        )
    if (applied.name, applied.sha256) != (migration.name, migration.sha256):
        raise ConfigurationError(
            f"{label} is not what was applied as {applied.version:04}_{applied.name}: the file was edited",
            fix="restore the file; changes belong in a new migration",
        )


def _failed(migration: Migration, error: psycopg.Error) -> Exception:
    """A refused file is a mistake in package or database, not in a request."""
    meaning = translate(error)
    if isinstance(meaning, DatabaseRejected):
        return ConfigurationError(f"migration {migration.version:04}_{migration.name} fails: {meaning}")
    return meaning
