"""How fast old SQLite files are taken over, end to end, and in how much memory; with them, the share of reading alone.

Give it a folder of old files; it starts a PostgreSQL of its own and leaves the files as they are.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tapi_agent import resources
from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.legacy.folder import LegacyFolder
from tapi_agent.adapters.postgres.imports import PostgresImports
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.services.importing import DryRun, Importing
from tapi_agent.testing.engines import running_engines

if TYPE_CHECKING:
    from tapi_agent.ports.imports import ImportStore

RUNS = 3


async def take_over(folder: Path, store: ImportStore) -> tuple[int, float]:
    """Rows read, and seconds."""
    work, began, rows = Importing(folder=LegacyFolder(folder), store=store, clock=SystemClock()), time.perf_counter(), 0
    for file in work.files():
        report = await work.take_over(file)
        rows += sum(table.read for table in report.tables.values())
    return rows, time.perf_counter() - began


async def measure(folder: Path, dsn: str) -> None:
    """Print rows per second: reading and judging alone, then all of it, each run for a tenant of its own."""
    await Migrator(dsn=dsn, directory=resources.directory("migrations"), agent_version="0").up()
    database = Database(dsn=dsn, size=2, statement_timeout=timedelta(minutes=5))
    await database.open()
    print(f"{folder}: load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    rows, seconds = await take_over(folder, DryRun())
    print(f"dry run      {rows} rows in {seconds:6.2f} s: {rows / seconds:6.0f} rows/s")
    for number in range(RUNS):
        tenant = TenantId(f"tenant-{number}")
        store = PostgresImports(database=database, tenant_id=tenant, device_id=DeviceId("box"), agent_version="0")
        rows, seconds = await take_over(folder, store)
        print(f"import no. {number + 1} {rows} rows in {seconds:6.2f} s: {rows / seconds:6.0f} rows/s")
    await database.close()


def main() -> None:
    """Measure the folder given."""
    with running_engines() as engines:
        asyncio.run(measure(Path(sys.argv[1]), engines.dsn))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(next(line for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    main()
