"""Records usage, and hands it over, in a process of its own: ``python -m tests.power.recorder SPOOL SYNCHRONOUS SAID``.

Says each thing in the file SAID as soon as it is so: ``+id`` for an acknowledged event, ``-id`` for one that the
database would have.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tapi_agent.adapters.spool import SqliteSpool, file
from tapi_agent.adapters.spool.home import Box
from tapi_agent.domain.canonical import event_id_of
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.domain.usage import Meter
from tapi_agent.services.metering import Metering
from tapi_agent.testing.clock import FakeClock
from tapi_agent.testing.space import AlwaysRoom

FLOOR: Final = datetime(2026, 1, 1, tzinfo=UTC)
BOX: Final = Box(device_id=DeviceId("box-1"), marks={"board_serial": "a"})
CALLERS: Final = 64
HANDED_OVER_AT_ONCE: Final = 500


class Clock:
    def __init__(self, machine: FakeClock) -> None:
        self._machine = machine

    def now(self) -> datetime:
        self._machine.advance(timedelta(microseconds=10))
        return self._machine.wall()

    def latest(self) -> datetime:
        return self._machine.wall()


async def main(path: Path) -> None:
    spool = SqliteSpool(path, floor=FLOOR, box=BOX)
    await spool.open()
    metering = Metering(
        admission=AlwaysRoom(),
        spool=spool,
        ledger=None,  # type: ignore[arg-type]  # recording needs no database
        meters={"api_call": Meter(key="api_call", unit="calls")},
        clock=Clock(FakeClock(datetime(2027, 3, 1, 12, tzinfo=UTC))),
        device_id=BOX.device_id,
        default_tenant=TenantId("tenant-1"),
        entropy=os.urandom,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(hand_over(spool))
        for _ in range(CALLERS):
            group.create_task(record(metering))


async def record(metering: Metering) -> None:
    while True:
        recorded = await metering.record({"event_type": "api_call", "quantity": "0.25"})
        say(f"+{recorded.event_id}")


async def hand_over(spool: SqliteSpool) -> None:
    """More slowly than is recorded, so that something always waits."""
    while True:
        await spool.filled()
        head = await spool.head(HANDED_OVER_AT_ONCE)
        oldest = head[: len(head) // 2 + 1]
        for event in oldest:
            say(f"-{event_id_of(event.canonical)}")
        await spool.discard(oldest[-1].seq, stream=oldest[-1].stream)


def say(what: str) -> None:
    os.write(SAID, f"{what}\n".encode())


if __name__ == "__main__":
    SAID = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    # Which pragmas a product has is no option of it: the counter-proof takes one away.
    file._PRAGMAS = tuple(pragma.replace("= FULL", f"= {sys.argv[2]}") for pragma in file._PRAGMAS)
    asyncio.run(main(Path(sys.argv[1])))
