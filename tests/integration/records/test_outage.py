"""Decisions recorded through the accidents of a PostgreSQL of their own."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
import pytest

from tapi_agent.adapters.postgres.entitlements import PostgresDecisions
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.domain.features import Tier
from tapi_agent.domain.ids import TENANT, DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, Reason, Subject
from tapi_agent.plugin import base_catalog
from tapi_agent.resources import directory
from tapi_agent.services.connectivity import POSTGRES, Connectivity
from tapi_agent.services.entitlements import Entitlements
from tapi_agent.services.health import StoreWatch
from tapi_agent.services.records import DecisionRecorder
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.clock import FakeClock
from tapi_agent.testing.entitlements import FakeLicenses, FakeQuotas, FakeWords
from tapi_agent.testing.licenses import MemoryMark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.conftest import Server

BOX = {"device_id": DeviceId("box"), "tenant_id": TenantId("acme")}


def count(server: Server, where: str) -> int:
    with psycopg.connect(server.address) as connection:
        row = connection.execute(f"SELECT count(*) FROM feature_entitlements WHERE {where}").fetchone()  # noqa: S608 - the test's own text
    return int(row[0]) if row else 0


async def until(condition: Callable[[], object], *, within: float = 30) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.05)


class Site:
    """A box of so many cameras whose decisions are recorded in ``server``."""

    def __init__(self, server: Server, cameras: int) -> None:
        machine = FakeClock()
        clock = Timekeeper(clock=machine, store=MemoryMark())
        catalog = Catalog().extended(
            Declaration(
                source="base-catalog",
                first_party=True,
                features=tuple(base_catalog.register_features()),
                packs=tuple(base_catalog.register_packs()),
            )
        )
        self.features = len(catalog.features)
        self.book = FakeLicenses(tenant=Subject(**BOX, camera_id=TENANT), clock=clock)
        self.book.hears(*(f"camera {number}" for number in range(cameras)))
        self.database = Database(dsn=server.address)
        self.connectivity = Connectivity(clock=clock, billing=FakeBilling())
        self.recorder = DecisionRecorder(
            entitlements=Entitlements(
                catalog=catalog,
                licensing=self.book,
                words=FakeWords(),
                quotas=FakeQuotas(),
                clock=clock,
                monotonic=machine.monotonic,
                tiers=dict.fromkeys(LicenseMode, Tier.PROFESSIONAL),
            ),
            licenses=self.book,
            records=PostgresDecisions(database=self.database, **BOX),
            connectivity=self.connectivity,
            clock=clock,
        )
        self.watch = StoreWatch(
            POSTGRES,
            probe=self.database.ping,
            prepare=Migrator(dsn=server.address, directory=directory("migrations"), agent_version="0").up,
            connectivity=self.connectivity,
        )
        self.connectivity.on_recovery(POSTGRES, self.recorder.start_over)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.database.open()
        tasks = [asyncio.create_task(loop()) for loop in (self.recorder.run, self.watch.run)]
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.database.close()


@pytest.mark.slow
async def test_what_changed_while_postgresql_was_dead_is_recorded_when_it_is_back(private_postgres: Server) -> None:
    site = Site(private_postgres, cameras=40)
    async with site.running():
        await until(lambda: site.connectivity.report()[POSTGRES].up)
        await until(lambda: count(private_postgres, "true") == 42 * site.features)
        private_postgres.kill()
        site.book.hears("camera 7", denied=Reason.REVOKED)
        site.recorder.wake()
        await until(lambda: site.connectivity.report()[POSTGRES].up is False)
        await asyncio.to_thread(private_postgres.start)
        await until(lambda: count(private_postgres, "camera_id = 'camera 7' AND license_reason = 'REVOKED'"))
    assert count(private_postgres, "camera_id = 'camera 8' AND license_reason = 'OK'") == site.features
    assert count(private_postgres, f"camera_id = '{TENANT}'") == site.features


@pytest.mark.slow
async def test_a_database_that_is_there_later_than_the_agent_is_filled(private_postgres: Server) -> None:
    private_postgres.kill()
    site = Site(private_postgres, cameras=3)
    async with site.running():
        await until(lambda: site.connectivity.report()[POSTGRES].up is False)
        await asyncio.to_thread(private_postgres.start)
        await until(lambda: site.connectivity.report()[POSTGRES].up)
        await until(lambda: count(private_postgres, "true") == 5 * site.features)
