"""Records usage in a process of its own until it is killed; prints the id of each event once it is acknowledged."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tapi_agent.adapters.spool import SqliteSpool
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.domain.usage import Meter
from tapi_agent.services.metering import Metering
from tapi_agent.testing.clock import FakeClock
from tapi_agent.testing.space import AlwaysRoom

CALLERS = 64


class Clock:
    def __init__(self) -> None:
        self._machine = FakeClock(datetime(2027, 3, 1, 12, tzinfo=UTC))

    def now(self) -> datetime:
        self._machine.advance(timedelta(microseconds=10))
        return self._machine.wall()

    def latest(self) -> datetime:
        return self._machine.wall()


async def main(path: Path) -> None:
    spool = SqliteSpool(path, floor=datetime(2026, 1, 1, tzinfo=UTC))
    await spool.open()
    metering = Metering(
        admission=AlwaysRoom(),
        spool=spool,
        ledger=None,  # type: ignore[arg-type]  # recording needs no database
        meters={"api_call": Meter(key="api_call", unit="calls")},
        clock=Clock(),
        device_id=DeviceId("device-1"),
        default_tenant=TenantId("tenant-1"),
        entropy=os.urandom,
    )
    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(record(metering))


async def record(metering: Metering) -> None:
    while True:
        recorded = await metering.record({"event_type": "api_call", "quantity": 1})
        os.write(1, f"{recorded.event_id}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
