"""A backlog of a long outage is delivered in the memory of a short one, and each event is billed once."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from e2e_tools import settings_for

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.hardware import Hardware
from tapi_agent.adapters.spool import SqliteSpool
from tapi_agent.adapters.spool.home import Box
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.domain.trusted_time import BUILT
from tapi_agent.domain.usage import Meter
from tapi_agent.services.metering import Metering
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.licenses import MemoryMark
from tapi_agent.testing.space import AlwaysRoom
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

DEVICE: Final = DeviceId("box-1")
MIB: Final = 1024**2
MOST_GROWTH: Final = 64 * MIB
AT_ONCE: Final = 1000


async def fill(path: Path, count: int, tenant: str) -> None:
    """What the agent of DEVICE would have spooled while PostgreSQL and the link were gone."""
    clock = Timekeeper(clock=SystemClock(), store=MemoryMark())
    await clock.start()
    box = Box(device_id=DEVICE, marks=Hardware().components())
    spool = SqliteSpool(path, floor=BUILT - timedelta(days=30), box=box)
    await spool.open()
    metering = Metering(
        spool=spool,
        admission=AlwaysRoom(),
        ledger=None,  # type: ignore[arg-type]  # recording needs no database
        meters={"api_call": Meter(key="api_call", unit="calls")},
        clock=clock,
        device_id=DEVICE,
        default_tenant=TenantId(tenant),
        entropy=os.urandom,
    )
    draft = {"event_type": "api_call", "quantity": "0.5", "metadata": {"route": "detections", "status": 200}}
    for start in range(0, count, AT_ONCE):
        await metering.record_many([draft | {"resource_id": f"r{start + n}"} for n in range(AT_ONCE)])
    assert spool.depth == count
    await spool.close()


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def ask(ledger: Path, question: str) -> tuple[int, ...]:
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as connection:
        row: tuple[int, ...] = connection.execute(question).fetchone()
    return row


def lines(ledger: Path) -> int:
    """How many the service's ledger has."""
    return ask(ledger, "SELECT coalesce(max(line), 0) FROM billed")[0]


def billed(ledger: Path) -> tuple[int, ...]:
    """How many, and how many different events they are."""
    return ask(ledger, "SELECT count(*), count(DISTINCT event_id) FROM billed")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.torture)])
def test_a_backlog_is_delivered_once_and_in_flat_memory(
    folder: Path,
    service: SandboxProcess,
    launch: Callable[..., AgentProcess],
    count: int,
) -> None:
    asyncio.run(fill(folder / "agent" / "state" / "spool" / "usage.db", count, service.tenant))
    agent = launch(settings_for(service, EDGE_DEVICE_ID=DEVICE, BILLING_TIMEOUT_MS="30000"))
    agent.start()
    before = resident(agent.pid)
    highest = before

    def done() -> bool:
        nonlocal highest
        highest = max(highest, resident(agent.pid))
        return lines(folder / "ledger.db") >= count

    wait_until(done, within=timedelta(minutes=25).total_seconds(), what="everything billed")
    assert billed(folder / "ledger.db") == (count, count)
    print(f"\n{count} events: {before / MIB:.0f} MiB at first, {highest / MIB:.0f} MiB at most")  # noqa: T201 - torture -s
    assert highest - before <= MOST_GROWTH
