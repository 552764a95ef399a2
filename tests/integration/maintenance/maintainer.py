"""A process that does one task on the database ARGV[1], again and again, to be killed."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from tapi_agent.adapters.postgres.maintenance import PostgresMaintenance
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.postgres.retention import PostgresRetention
from tapi_agent.domain.ids import DeviceId


async def main(dsn: str, task: str, before: datetime) -> None:
    database = Database(dsn=dsn)
    await database.open()
    upkeep = PostgresMaintenance(dsn=dsn, database=database)
    retention = PostgresRetention(database=database, device_id=DeviceId("device-1"), chunk=1)
    await getattr(upkeep if hasattr(upkeep, task) else retention, task)(before)
    await database.close()


asyncio.run(main(sys.argv[1], sys.argv[2], datetime.fromisoformat(sys.argv[3]).replace(tzinfo=UTC)))
