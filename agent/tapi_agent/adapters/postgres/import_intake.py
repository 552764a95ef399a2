"""Takes the rows of one old file in: staged by COPY, stored by INSERT … SELECT, read back and added up (ADR 0050).

Each call of ``put`` is a savepoint of the file's transaction. What the server refuses although every check let it pass
is halved until the row stands alone.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from tapi_agent.adapters.postgres.errors import said
from tapi_agent.adapters.postgres.partitions import make_months
from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.ids import EPOCH
from tapi_agent.domain.importing.tables import number_of
from tapi_agent.domain.importing.tally import Measure, Tally, tally
from tapi_agent.ports.imports import Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.importing.quarantine import SetAside
    from tapi_agent.domain.importing.tables import OldTable, Row

_SQL: Final = load_queries("imports")
_STAGING: Final = load_queries("import_staging")
_A_ROWS_FAULT: Final = ("22", "23", "54")
"""Classes of SQLSTATE: data, constraint, program limit. Anything else is no row's fault."""
_CHECK_VIOLATION: Final = "23514"
_DAY: Final = 24 * 60 * 60 * 1000
_MODULUS: Final = 2**64


@dataclass(frozen=True, slots=True)
class _Way:
    """Of an old table's rows: into staging, on to where they belong, and back."""

    stage: str
    insert: str
    stored: str


_WAYS: Final = {
    "config": _Way(_STAGING.config, _SQL.insert_config, _SQL.stored_config),
    "camera_config": _Way(_STAGING.camera_config, _SQL.insert_camera_config, _SQL.stored_camera_config),
    "frames": _Way(_STAGING.frames, _SQL.insert_frames, _SQL.stored_frames),
    "telemetry_events": _Way(_STAGING.telemetry_events, _SQL.insert_telemetry_events, _SQL.stored_telemetry_events),
    "analytics_summary": _Way(_STAGING.analytics_summary, _SQL.insert_analytics_summary, _SQL.stored_analytics_summary),
    "time_series_buckets": _Way(
        _STAGING.time_series_buckets, _SQL.insert_time_series_buckets, _SQL.stored_time_series_buckets
    ),
    "class_distribution": _Way(
        _STAGING.class_distribution, _SQL.insert_class_distribution, _SQL.stored_class_distribution
    ),
    "dwell_times": _Way(_STAGING.dwell_times, _SQL.insert_dwell_times, _SQL.stored_dwell_times),
    "event_type_counts": _Way(_STAGING.event_type_counts, _SQL.insert_event_type_counts, _SQL.stored_event_type_counts),
}


class PostgresIntake:
    """``ports.imports.Intake`` on one connection, for the file at ``place``."""

    def __init__(
        self, connection: psycopg.AsyncConnection[DictRow], database: Database, place: Mapping[str, object]
    ) -> None:
        self._connection = connection
        self._database = database
        self._place = place
        self._months: set[datetime] = set()

    async def put(self, table: OldTable, rows: Sequence[Row], staged: Callable[[], None]) -> Stored:
        """Store rows, but for those whose key has another content already."""
        await self._make_months(table, rows)
        try:
            async with self._connection.transaction():
                return await self._put(table, rows, staged)
        except psycopg.Error as error:
            if not _a_rows_fault(error):
                raise
            if len(rows) == 1:
                return _refused(table, rows[0], error)
        middle = len(rows) // 2
        halves = (rows[:middle], rows[middle:])
        return _together(*[await self.put(table, half, staged) for half in halves])

    async def set_aside(self, rows: Sequence[SetAside]) -> None:
        """Put rows into quarantine."""
        listed = [
            {
                "table_name": row.table,
                "row_number": row.row_number,
                "code": row.flaw.code,
                "detail": row.flaw.detail,
                "content": b64encode(row.content).decode(),
            }
            for row in rows
        ]
        await self._connection.execute(_SQL.set_aside, {**self._place, "rows": json.dumps(listed)})

    async def record(self, *, sha256: bytes, size: int, tables: Mapping[str, object], duration: timedelta) -> None:
        """Note that the file is in."""
        facts = {"sha256": sha256, "bytes": size, "tables": json.dumps(tables), "duration": duration}
        await self._connection.execute(_SQL.record_file, {**self._place, **facts})

    async def _put(self, table: OldTable, rows: Sequence[Row], staged: Callable[[], None]) -> Stored:
        way, staging = _WAYS[table.name], sql.Identifier(f"old_{table.name}")
        await self._connection.execute(way.stage)
        await self._stage(staging, table, rows)
        async with (
            self._connection.pipeline(),
            self._connection.cursor() as inserted,
            self._connection.cursor() as read,
        ):
            await inserted.execute(way.insert, self._place)
            await read.execute(_compare(table, way), self._place)
            await self._connection.execute(sql.SQL(_STAGING.clear).format(table=staging))
            staged()
            found = (await read.fetchall())[0]
            imported = inserted.rowcount  # known only now: in a pipeline answers come when they are asked for
        return Stored(imported=imported, conflicts=found["conflicts"] or (), refused={}, tally=_tally(table, found))

    async def _stage(self, staging: sql.Identifier, table: OldTable, rows: Sequence[Row]) -> None:
        columns = sql.SQL(", ").join(map(sql.Identifier, table.staged))
        statement = sql.SQL(_STAGING.copy_in).format(table=staging, columns=columns)
        async with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                await copy.write_row(row)

    async def _make_months(self, table: OldTable, rows: Sequence[Row]) -> None:
        """On a connection of its own: creating a month holds a lock until the commit, and a file takes its time."""
        if not table.time:
            return
        place = table.staged.index(table.time)
        days = map(_day, {row[place] // _DAY for row in rows})  # type: ignore[operator]  # checked integers
        new = {day.replace(day=1) for day in days} - self._months
        await make_months(self._database, table.name, new)
        self._months |= new


def _a_rows_fault(error: psycopg.Error) -> bool:
    """A check violation without a constraint is a month that was taken away meanwhile."""
    state = error.sqlstate or ""
    return state[:2] in _A_ROWS_FAULT and (state != _CHECK_VIOLATION or bool(error.diag.constraint_name))


def _day(number: int) -> datetime:
    return EPOCH + timedelta(days=number)


def _compare(table: OldTable, way: _Way) -> sql.Composed:
    def each(part: str) -> sql.Composed:
        return sql.SQL(", ").join(sql.SQL(part).format(column=sql.Identifier(name)) for name in table.integers)

    parts = {"fields": each(_STAGING.field), "measures": each(_STAGING.measure)}
    return sql.SQL(_STAGING.compare).format(stored=sql.SQL(way.stored), **parts)


def _tally(table: OldTable, found: DictRow) -> Tally:
    return Tally(
        rows=found["rows"],
        checksum=int(found["checksum"] or 0) % _MODULUS,
        measures=tuple(Measure(*found[name]) for name in table.integers),
    )


def _refused(table: OldTable, row: Row, error: psycopg.Error) -> Stored:
    return Stored(imported=0, conflicts=(), refused={number_of(row): said(error)}, tally=tally(table, ()))


def _together(one: Stored, other: Stored) -> Stored:
    return Stored(
        imported=one.imported + other.imported,
        conflicts=[*one.conflicts, *other.conflicts],
        refused={**one.refused, **other.refused},
        tally=one.tally + other.tally,
    )
