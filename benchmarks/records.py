"""What it costs to record every decision: of 128 cameras, and of 1 000 with 100 features more than are sold today.

Run by hand, on an idle machine. Needs the embedded engines; starts a PostgreSQL of its own. Prints for each occasion
how long it took, how long the event loop was held up at most, and how much write-ahead log it made.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from tapi_agent.adapters.postgres.entitlements import PostgresDecisions
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.domain.features import Feature, Tier
from tapi_agent.domain.ids import TENANT, DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, Reason, Subject
from tapi_agent.plugin import base_catalog
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.entitlements import Entitlements
from tapi_agent.services.records import DecisionRecorder
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.clock import FakeClock
from tapi_agent.testing.engines import running_engines
from tapi_agent.testing.entitlements import FakeLicenses, FakeQuotas, FakeWords
from tapi_agent.testing.licenses import MemoryMark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MIGRATIONS = Path(__file__).parents[1] / "migrations"
BOX = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=TENANT)
KINDS = [(), ("Advanced Analytics",), ("Active Transport",), ("Intelligence",), ("Advanced Analytics", "Integration")]


class Site:
    """A box with so many cameras, each heard of at a moment of its own, of five kinds."""

    def __init__(self, dsn: str, database: Database, *, cameras: int, extra: int) -> None:
        self.machine = FakeClock()
        self.dsn = dsn
        self.cameras = cameras
        clock = Timekeeper(clock=self.machine, store=MemoryMark())
        self.licenses = FakeLicenses(tenant=BOX, clock=clock)
        self.recorder = DecisionRecorder(
            entitlements=Entitlements(
                catalog=catalog(extra),
                licensing=self.licenses,
                words=FakeWords(),
                quotas=FakeQuotas(),
                clock=clock,
                monotonic=self.machine.monotonic,
                tiers=dict.fromkeys(LicenseMode, Tier.PROFESSIONAL),
            ),
            licenses=self.licenses,
            records=PostgresDecisions(database=database, device_id=BOX.device_id, tenant_id=BOX.tenant_id),
            connectivity=Connectivity(clock=clock, billing=FakeBilling()),
            clock=clock,
        )

    def refresh(self) -> None:
        """Every camera is heard of again."""
        for number in range(self.cameras):
            self.licenses.hears(f"camera {number}", packs=KINDS[number % len(KINDS)])
            self.machine.advance(timedelta(milliseconds=3))
        self.machine.advance(timedelta(minutes=27))

    async def record(self, occasion: str) -> None:
        """Write what there is to write, and tell what it cost."""
        stalls: list[float] = []
        before, began = self._log(), time.perf_counter()
        async with watched(stalls):
            await self.recorder.record()
        took = time.perf_counter() - began
        wal = float(self._log() - before) / 1e6
        print(f"  {occasion:16} {took:6.2f} s   held up {max(stalls) * 1e3:5.1f} ms   log {wal:5.1f} MB")

    def _log(self) -> int:
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").fetchone()
        return int(row[0]) if row else 0


@asynccontextmanager
async def watched(stalls: list[float]) -> AsyncIterator[None]:
    """Note by how much a millisecond's sleep is late, again and again."""

    async def look() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            stalls.append(time.perf_counter() - began - 0.001)

    looking = asyncio.create_task(look())
    await asyncio.sleep(0)
    yield
    await asyncio.sleep(0.01)
    looking.cancel()


def catalog(extra: int) -> Catalog:
    """What is for sale, and ``extra`` features that nobody sells."""
    base = Declaration(
        source="base-catalog",
        first_party=True,
        features=tuple(base_catalog.register_features()),
        packs=tuple(base_catalog.register_packs()),
    )
    more = tuple(Feature(key=f"extra.feature_{number}") for number in range(extra))
    return Catalog().extended(base).extended(Declaration(source="extra", features=more))


async def measure(dsn: str, *, cameras: int, extra: int) -> None:
    """The occasions on which decisions are recorded."""
    database = Database(dsn=dsn)
    await database.open()
    site = Site(dsn, database, cameras=cameras, extra=extra)
    print(f"{cameras} cameras, {len(catalog(extra).features)} features")
    for occasion in ("first time", "all refreshed", "all refreshed"):
        site.refresh()
        await site.record(occasion)
    await site.record("nothing new")
    site.recorder.start_over()
    await site.record("database is back")
    site.licenses.hears("camera 7", denied=Reason.REVOKED)
    await site.record("one is revoked")
    await database.close()


async def main(dsn: str) -> None:
    """Both sizes of a site."""
    await Migrator(dsn=dsn, directory=MIGRATIONS, agent_version="0").up()
    await measure(dsn, cameras=128, extra=0)
    await measure(dsn, cameras=1000, extra=50)


if __name__ == "__main__":
    with running_engines() as engines:
        asyncio.run(main(engines.dsn))
