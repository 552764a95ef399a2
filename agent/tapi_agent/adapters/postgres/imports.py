"""The database's end of an import: which files are in, what is in quarantine, and a transaction for each file.

How rows go in and are compared is ``import_intake``'s.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg

from tapi_agent.adapters.postgres.import_intake import PostgresIntake
from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import DeviceId, TenantId

_SQL: Final = load_queries("imports")


class PostgresImports:
    """``ports.imports.ImportStore`` for one tenant and device."""

    def __init__(self, *, database: Database, tenant_id: TenantId, device_id: DeviceId, agent_version: str) -> None:
        self._database = database
        self._owner = {"tenant_id": tenant_id, "device_id": device_id}
        self._agent_version = agent_version

    async def is_known(self, name: str, sha256: bytes) -> bool:
        """Whether these bytes under this name were imported before."""
        return bool(await self._ask(_SQL.known_file, file_name=name, sha256=sha256))

    async def cameras_of_others(self) -> frozenset[str]:
        """The tenant's cameras that another device serves."""
        return frozenset(row["camera_id"] for row in await self._ask(_SQL.cameras_of_others))

    async def held(self, name: str) -> int:
        """How much of a file is in quarantine."""
        (row,) = await self._ask(_SQL.held, file_name=name)
        return int(row["held"])

    @asynccontextmanager
    async def intake(self, name: str) -> AsyncIterator[PostgresIntake]:
        """A transaction for a file; raises ``UnavailableError`` while another import of this device is at work."""
        place = self._owner | {"file_name": name, "agent_version": self._agent_version}
        async with self._database.connection() as connection:
            try:
                await connection.execute(_SQL.one_at_a_time, self._owner)
            except psycopg.errors.LockNotAvailable as error:
                raise UnavailableError(
                    "another import for this device is at work", fix="wait for its end, then run again"
                ) from error
            await connection.execute(_SQL.take_time)
            yield PostgresIntake(connection, self._database, place)

    async def _ask(self, query: str, **more: Any) -> list[DictRow]:  # noqa: ANN401 - whatever a query takes
        async with self._database.connection() as connection:
            cursor = await connection.execute(query, self._owner | more)
            return await cursor.fetchall()
