"""What has been kept long enough goes, a chunk at a time, each a transaction: a kill leaves nothing half gone.

Owns which rows may go at all; how long they are kept is ``services.maintenance``'s. Two agents may do it at once: each
passes by what the other has locked.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.ids import milliseconds

if TYPE_CHECKING:
    from datetime import datetime

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import DeviceId

_SQL: Final = load_queries("retention")
_CHUNK: Final = 5000
_TIMEOUT: Final = timedelta(minutes=1)
"""A chunk may have to look at many rows that stay."""


class PostgresRetention:
    """``ports.maintenance.Retention`` for the agent of one device."""

    def __init__(self, *, database: Database, device_id: DeviceId, chunk: int = _CHUNK) -> None:
        self._database = database
        self._device_id = device_id
        self._chunk = chunk

    async def usage_bytes(self) -> int:
        """Size of usage_events on disk, indexes included, bytes."""
        async with self._database.connection() as connection:
            row = (await (await connection.execute(_SQL.usage_bytes)).fetchall())[0]
        return int(row["bytes"])

    async def oldest_finished(self) -> datetime | None:
        """When the oldest of this device's finished events was recorded; ``None`` without any."""
        return await self._recorded(_SQL.oldest_finished)

    async def newest_finished(self, before: datetime) -> datetime | None:
        """When the newest of this device's finished events recorded ``before`` was; ``None`` without any."""
        return await self._recorded(_SQL.newest_finished, before=before, bound=_lowest_id(before))

    async def forget_usage(self, before: datetime) -> int:
        """Delete this device's finished events recorded ``before``, oldest first, and batches nothing refers to."""
        bound = _lowest_id(before)
        events = await self._forget(_SQL.forget_events, before=before, bound=bound, device_id=self._device_id)
        await self._forget(_SQL.forget_batches, before=before, bound=bound)
        return events

    async def forget_telemetry(self, before: datetime) -> int:
        """Delete frames, dwell times and time series from ``before``; the months of events are dropped whole."""
        queries = (_SQL.forget_frames, _SQL.forget_dwell_times, _SQL.forget_series)
        return sum([await self._forget(query, before=before) for query in queries])

    async def forget_edges(self, before: datetime) -> int:
        """Delete published license edges from ``before``, but never the last one of a camera."""
        return await self._forget(_SQL.forget_edges, before=before)

    async def _recorded(self, query: str, **terms: object) -> datetime | None:
        async with self._database.connection(statement_timeout=_TIMEOUT) as connection:
            row = await (await connection.execute(query, {**terms, "device_id": self._device_id})).fetchone()
        return row["recorded_at"] if row else None

    async def _forget(self, query: str, **terms: object) -> int:
        """Until a chunk is not full; returns how many rows went."""
        gone = 0
        while True:
            async with self._database.connection(statement_timeout=_TIMEOUT) as connection:
                chunk = (await connection.execute(query, {**terms, "limit": self._chunk})).rowcount
            gone += chunk
            if chunk < self._chunk:
                return gone


def _lowest_id(at: datetime) -> UUID:
    """No id of ``at`` or later is lower: by it the primary key finds what is older."""
    return UUID(int=milliseconds(at) << 80)
