"""The device's own row in edge_devices: who it is, what it runs on, when the billing service last heard of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.ports.records import DeviceRecord

if TYPE_CHECKING:
    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.license import Subject

_SQL: Final = load_queries("devices")


class PostgresDevices:
    """``ports.records.DeviceRecords``; ``tier`` is the management tier, as in the heartbeat."""

    def __init__(self, *, database: Database, subject: Subject, tier: str, agent_version: str) -> None:
        self._database = database
        self._identity = {
            "device_id": subject.device_id,
            "tenant_id": subject.tenant_id,
            "management_tier": tier,
            "agent_version": agent_version,
        }

    async def save(self, record: DeviceRecord) -> None:
        """Write the row; what is ``None`` stays as it was."""
        row = {
            "heartbeat_at": record.heartbeat_at,
            "heartbeat_interval": record.heartbeat_interval,
            "hardware": orjson.dumps(record.hardware).decode(),
            "network": orjson.dumps(record.network).decode(),
        }
        async with self._database.connection() as connection:
            await connection.execute(_SQL.save, self._identity | row)

    async def load(self) -> DeviceRecord | None:
        """The row, if there is one."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL.load, self._identity)).fetchone()
        return None if row is None else DeviceRecord(**row)
