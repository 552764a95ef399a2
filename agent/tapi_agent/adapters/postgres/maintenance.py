"""What keeps the database in order and is no deleting of rows: months ahead, months that go, views that are refreshed.

Such statements may take long and must not be in a transaction: each task has a connection of its own, which commits by
itself, has no timeouts, and holds the lock by which one agent of a site does the task while the others let it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tapi_agent.adapters.postgres.connection import GuardedConnection, Link, complete
from tapi_agent.adapters.postgres.errors import translate
from tapi_agent.adapters.postgres.partitions import ensure_months
from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.adapters.postgres.retirement import retire_months

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from tapi_agent.adapters.postgres.pool import Database

_SQL: Final = load_queries("maintenance")
_PARTITIONED: Final = ("usage_events", "telemetry_events")
_VIEWS: Final = ("camera_status_24h", "tenant_usage_daily", "tenant_license_summary")
_CONNECT: Final = timedelta(seconds=3)
_PATIENCE: Final = timedelta(hours=1)
"""Until a silent server is given up; a detachment waits for the longest transaction, such as a backup's."""
_SESSION: Final = {
    "TimeZone": "UTC",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "client_connection_check_interval": "1000",  # a killed agent's statement ends, and frees its locks
}


class PostgresMaintenance:
    """``ports.maintenance.Upkeep``."""

    def __init__(self, *, dsn: str, database: Database) -> None:
        self._conninfo = complete(dsn, connect_timeout=_CONNECT, session=_SESSION)
        self._database = database

    async def make_months(self, first: datetime, last: datetime) -> None:
        """Make sure that every partitioned table has the months from ``first`` to ``last``."""
        for parent in _PARTITIONED:
            async with self._database.connection() as connection:
                await ensure_months(connection, parent, first, last)

    async def refresh_views(self) -> bool:
        """Bring the materialized views up to date while they are being read; false: another agent is at it."""
        async with self._alone("views") as connection:
            if connection is None:
                return False
            for view in _VIEWS:
                await connection.execute(sql.SQL(_SQL.refresh_view).format(view=sql.Identifier(view)))
            return True

    async def retire_usage(self, before: datetime) -> list[str]:
        """Drop the empty months of usage events that ended ``before``; returns their names."""
        return await self._retire("usage_events", before, only_empty=True)

    async def retire_telemetry(self, before: datetime) -> list[str]:
        """Drop the months of telemetry events that ended ``before``, with all that is in them; returns their names."""
        return await self._retire("telemetry_events", before, only_empty=False)

    async def _retire(self, parent: str, before: datetime, *, only_empty: bool) -> list[str]:
        async with self._alone(parent) as connection:
            return await retire_months(connection, parent, before, only_empty=only_empty) if connection else []

    @asynccontextmanager
    async def _alone(self, task: str) -> AsyncIterator[GuardedConnection | None]:
        """A connection for ``task``; ``None`` while another agent does it. A killed agent's lock goes with it."""
        try:
            connection = await GuardedConnection.connect(
                self._conninfo, link=Link(), autocommit=True, row_factory=dict_row
            )
            connection.patience = _PATIENCE
            async with connection:
                lock = await connection.execute(_SQL.lock_task, {"task": task})
                yield connection if await lock.fetchone() else None
        except psycopg.Error as error:
            raise translate(error) from error
