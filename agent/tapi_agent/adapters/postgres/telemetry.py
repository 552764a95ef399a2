"""Telemetry in PostgreSQL: events in months, frames, aggregates, dwell times, of one tenant.

What an application says twice counts twice among events and once elsewhere: the rows of aggregates and dwell times have
a key of their own. Months are made on demand (ADR 0011).
"""

from __future__ import annotations

from dataclasses import asdict, fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from tapi_agent.adapters.postgres.errors import DatabaseRejected
from tapi_agent.adapters.postgres.parameters import as_parameter
from tapi_agent.adapters.postgres.partitions import make_months
from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.telemetry import (
    Aggregate,
    ClassCount,
    DwellTime,
    Frame,
    SeriesCount,
    Summary,
    TelemetryEvent,
    TelemetryType,
    TypeCount,
    check_times,
    identity,
    page_top,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import CameraId, TenantId
    from tapi_agent.domain.telemetry import Place

_SQL: Final = load_queries("telemetry")
_MOST: Final = 1000
"""Rows a statement."""
_KINDS: Final[dict[str, type[Aggregate]]] = {
    "summary": Summary,
    "series": SeriesCount,
    "class": ClassCount,
    "type": TypeCount,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


class PostgresTelemetry:
    """Implements ``ports.telemetry.TelemetryStore``."""

    def __init__(self, *, database: Database, tenant_id: TenantId) -> None:
        self._database = database
        self._owner = {"tenant_id": tenant_id}

    async def record(self, events: Sequence[TelemetryEvent]) -> Sequence[int]:
        """Keep the events, a thousand a statement, and make the months that they need."""
        check_times(event.occurred_at for event in events)
        try:
            return await self._insert(events)
        except DatabaseRejected as error:
            if not error.lacks_month:
                raise
        await make_months(self._database, "telemetry_events", (event.occurred_at for event in events))
        return await self._insert(events)

    async def events(
        self, camera_id: CameraId, *, start: datetime, end: datetime, behind: Place | None = None, limit: int = 100
    ) -> Sequence[TelemetryEvent]:
        """The events of a camera, the newest first."""
        page = _page(camera_id, start, page_top(end, behind), limit)
        return [_event(row) for row in await self._read(_SQL.events, page)]

    async def save_frame(self, frame: Frame) -> int:
        """Keep a frame."""
        check_times([frame.captured_at])
        (row,) = await self._read(_SQL.save_frame, asdict(frame))
        return int(row["frame_id"])

    async def frame(self, camera_id: CameraId, frame_id: int) -> Frame | None:
        """One frame with its thumbnail."""
        rows = await self._read(_SQL.frame, {"camera_id": camera_id, "frame_id": frame_id})
        return Frame(**rows[0]) if rows else None

    async def frames(
        self, camera_id: CameraId, *, start: datetime, end: datetime, behind: Place | None = None, limit: int = 100
    ) -> Sequence[Frame]:
        """The frames of a camera without their thumbnails, the newest first."""
        page = _page(camera_id, start, page_top(end, behind), limit)
        return [Frame(**row) for row in await self._read(_SQL.frames, page)]

    async def save_aggregates(self, aggregates: Sequence[Aggregate]) -> None:
        """Keep these in the place of what was counted before."""
        latest = {identity(aggregate): _row(aggregate) for aggregate in aggregates}
        await self._write(_SQL.save_aggregates, "aggregates", list(latest.values()))

    async def aggregates(self, camera_id: CameraId, *, start: datetime, end: datetime) -> Sequence[Aggregate]:
        """What was counted of a camera."""
        span = {"camera_id": camera_id, "start": start, "end": end}
        return [_aggregate(row) for row in await self._read(_SQL.aggregates, span)]

    async def save_dwell_times(self, dwell_times: Sequence[DwellTime]) -> None:
        """Keep these in the place of what was known of the same track and class."""
        latest = {(one.camera_id, one.track_id, one.class_name): one for one in dwell_times}
        await self._write(_SQL.save_dwell_times, "dwell_times", list(latest.values()))

    async def dwell_times(self, camera_id: CameraId, *, start: datetime, end: datetime) -> Sequence[DwellTime]:
        """Of the objects that were last seen in the span."""
        span = {"camera_id": camera_id, "start": start, "end": end}
        return [DwellTime(**row) for row in await self._read(_SQL.dwell_times, span)]

    async def _insert(self, events: Sequence[TelemetryEvent]) -> list[int]:
        numbers: list[int] = []
        async with self._database.connection() as connection:
            for part in _parts(events):
                given = self._owner | {"events": as_parameter(part)}
                cursor = await connection.execute(_SQL.record_events, given)
                numbers += [row["event_id"] for row in await cursor.fetchall()]
        return numbers

    async def _write(self, query: str, name: str, values: Sequence[object]) -> None:
        async with self._database.connection() as connection:
            for part in _parts(values):
                await connection.execute(query, self._owner | {name: as_parameter(part)})

    async def _read(self, query: str, asked: dict[str, Any]) -> list[DictRow]:
        async with self._database.connection() as connection:
            return await (await connection.execute(query, self._owner | asked)).fetchall()


def _parts(values: Sequence[Any]) -> Iterator[list[Any]]:
    rest = iter(values)
    while part := list(islice(rest, _MOST)):
        yield part


def _page(camera_id: CameraId, start: datetime, top: Place, limit: int) -> dict[str, object]:
    return {"camera_id": camera_id, "start": start, "limit": limit, **asdict(top)}


def _event(row: DictRow) -> TelemetryEvent:
    return TelemetryEvent(**row | {"event_type": TelemetryType(row["event_type"])})


def _row(aggregate: Aggregate) -> dict[str, object]:
    row = asdict(aggregate) | {"kind": _NAMES[type(aggregate)]}
    return {name: value for name, value in row.items() if name != "bucket"} | (
        {"bucket_s": aggregate.bucket.total_seconds()} if isinstance(aggregate, SeriesCount) else {}
    )


def _aggregate(row: DictRow) -> Aggregate:
    kind = _KINDS[row.pop("kind")]
    row["event_type"] = row["event_type"] and TelemetryType(row["event_type"])
    return kind(**{name: row[name] for name in (field.name for field in fields(kind))})
