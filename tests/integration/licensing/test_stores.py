"""Licensing on a real file, PostgreSQL and Valkey that are killed and come back."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
import redis

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.files import FileEvidence, FileMark, FileRequest, FileRoster, keep_first
from tapi_agent.adapters.postgres.licenses import PostgresEvidence, PostgresLicenseLog
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.adapters.redis.evidence import RedisEvidence
from tapi_agent.adapters.signing import KEY_BYTES, DeviceKey, DeviceSealer
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseState, Subject
from tapi_agent.resources import directory
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.licensing import LicensePolicy, Licensing, Surroundings
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.leases import no_leases
from tapi_agent.testing.licenses import Announcements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.conftest import PrivateEngines

BOX: Final = {"device_id": DeviceId("box"), "tenant_id": TenantId("acme")}
GATE: Final = CameraId("gate")
VALID, EXPIRED = LicenseState.VALID, LicenseState.EXPIRED


class Site:
    """A device on a state directory and a pair of engines; ``agent`` is one life of its licensing."""

    def __init__(self, state: Path, engines: PrivateEngines) -> None:
        self.state = state
        self.engines = engines
        self.billing = FakeBilling()
        self.heard = Announcements()

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Licensing]:
        key = DeviceKey(keep_first(self.state / "device.key", lambda: secrets.token_bytes(KEY_BYTES)))
        machine = SystemClock()
        clock = Timekeeper(clock=machine, store=FileMark(self.state / "mark", key=key))
        database = Database(dsn=self.engines.postgres.address)
        cache = RedisCache(url=self.engines.valkey.address)
        connectivity = Connectivity(clock=clock, billing=self.billing)
        licensing = Licensing(
            around=Surroundings(
                tenant=Subject(**BOX, camera_id=TENANT),
                policy=LicensePolicy(tick=timedelta(milliseconds=10)),
                billing=self.billing,
                connectivity=connectivity,
                clock=clock,
                machine=machine,
                leases=no_leases(Subject(**BOX, camera_id=TENANT)),
                entropy=secrets.token_bytes,
            ),
            tiers=[
                FileEvidence(self.state / "evidence.json"),
                RedisEvidence(cache=cache, ttl=timedelta(hours=1), **BOX),
                PostgresEvidence(database=database, clock=clock, **BOX),
            ],
            sealer=DeviceSealer(key),
            roster=FileRoster(self.state / "roster.json"),
            requests=FileRequest(self.state / "license.request", key=key),
            edge_log=PostgresLicenseLog(database=database, **BOX),
            publisher=self.heard,
        )
        self.connectivity = connectivity
        await clock.start()
        await database.open()
        await licensing.start()
        loops = asyncio.create_task(licensing.run())
        try:
            yield licensing
        finally:
            loops.cancel()
            with suppress(asyncio.CancelledError):
                await loops
            await clock.persist()
            await licensing.stop()
            await cache.close()
            await database.close()

    def rows(self, table: str) -> int:
        with psycopg.connect(self.engines.postgres.address) as connection:
            row = connection.execute(psycopg.sql.SQL("SELECT count(*) FROM {}").format(psycopg.sql.Identifier(table)))
            (count,) = row.fetchone() or (0,)
        return int(count)

    def cached(self) -> int:
        with redis.Redis.from_url(self.engines.valkey.address) as client:
            return int(client.dbsize())


async def until(condition: Callable[[], object], *, within: float = 30) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def site(tmp_path: Path, private_engines: PrivateEngines) -> Site:
    await Migrator(dsn=private_engines.postgres.address, directory=directory("migrations"), agent_version="0").up()
    return Site(tmp_path, private_engines)


def state_of(licensing: Licensing) -> LicenseState:
    return licensing.view(GATE).standing.state


@pytest.mark.slow
async def test_any_one_store_is_enough_after_a_restart(site: Site) -> None:
    async with site.agent() as licensing:
        licensing.register(GATE)
        await until(lambda: state_of(licensing) is VALID)
        await until(lambda: site.rows("camera_licenses") == site.rows("license_validation_log") == 1)
    site.billing.offline()
    site.engines.valkey.kill()
    (site.state / "evidence.json").unlink()
    async with site.agent() as licensing:
        assert (state_of(licensing), licensing.view(GATE).tier) == (VALID, "postgres")
    site.engines.postgres.kill()
    async with site.agent() as licensing:
        assert (state_of(licensing), licensing.view(GATE).tier) == (VALID, "file")


@pytest.mark.slow
async def test_everything_down_at_start_and_back_in_any_order(site: Site) -> None:
    site.billing.offline()
    site.engines.postgres.kill()
    site.engines.valkey.kill()
    begun = time.monotonic()
    async with site.agent() as licensing:
        assert time.monotonic() - begun < 2
        licensing.register(GATE)
        assert state_of(licensing) is EXPIRED
        await until(lambda: {name for name, link in site.connectivity.report().items() if link.up is False})
        site.billing.online()
        await until(lambda: state_of(licensing) is VALID)
        await until(lambda: [edge.new for edge in site.heard.changes] == [VALID])
        await asyncio.to_thread(site.engines.postgres.start)
        await until(lambda: site.rows("camera_licenses") and site.rows("license_validation_log"))
        await asyncio.to_thread(site.engines.valkey.start)
        await until(site.cached)
    assert len(site.heard.changes) == 1


@pytest.mark.slow
async def test_a_hung_database_delays_no_state(site: Site) -> None:
    async with site.agent() as licensing:
        site.engines.postgres.freeze()
        try:
            licensing.register(GATE)
            await until(lambda: state_of(licensing) is VALID, within=5)
        finally:
            site.engines.postgres.thaw()
        await until(lambda: site.rows("license_validation_log"))


async def test_a_stolen_state_file_is_worth_nothing_on_another_device(site: Site) -> None:
    async with site.agent() as licensing:
        licensing.register(GATE)
        await until(lambda: state_of(licensing) is VALID)
    site.billing.offline()
    (site.state / "device.key").unlink()
    async with site.agent() as licensing:
        assert (state_of(licensing), licensing.view(GATE).standing.reason) == (EXPIRED, "EVIDENCE_INVALID")
