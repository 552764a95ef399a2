"""An hour of 128 cameras, each checked once a second: how much of it is asked of anyone but our own memory."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from tapi_agent import telemetry
from tapi_agent.adapters.billing import HttpBilling
from tapi_agent.adapters.files import FileEvidence, FileRoster
from tapi_agent.adapters.postgres.licenses import PostgresEvidence, PostgresLicenseLog
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.adapters.redis.evidence import RedisEvidence
from tapi_agent.adapters.signing import DeviceKey, DeviceSealer
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Durations, LicenseMode, LicenseState, Subject
from tapi_agent.plugin.host import PluginHost
from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.entitlements import Entitlements
from tapi_agent.services.licensing import LicensePolicy, Licensing, Surroundings
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.clock import FakeClock
from tapi_agent.testing.entitlements import FakeQuotas, FakeWords
from tapi_agent.testing.leases import no_leases
from tapi_agent.testing.licenses import Announcements, MemoryMark, MemoryRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from prometheus_client import Counter as Metric

    from tapi_agent.ports.billing import LicenseReply, LicenseReport, Question

CAMERAS: Final = [CameraId(f"cam-{number:03d}") for number in range(128)]
HOUR: Final = 3600
BOX: Final = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=TENANT)


class CountingBilling(HttpBilling):
    """The real client; it remembers for whom it has asked, and how often for all at once."""

    asked: Counter[CameraId]
    reports = 0

    @override
    async def validate(self, subject: Subject, question: Question) -> LicenseReply:
        self.asked[subject.camera_id] += 1
        return await super().validate(subject, question)

    @override
    async def license_report(self, tenant_id: TenantId) -> LicenseReport | None:
        self.reports += 1
        return await super().license_report(tenant_id)


def value(metric: Metric, **labels: str) -> float:
    return (metric.labels(**labels) if labels else metric)._value.get()


@asynccontextmanager
async def box(
    folder: Path, sandbox: SandboxProcess, dsn: str, redis_url: str
) -> AsyncIterator[tuple[FakeClock, CountingBilling, Licensing, Entitlements]]:
    """One device on real stores and a real service; only its clock is the test's."""
    machine = FakeClock()
    clock = Timekeeper(clock=machine, store=MemoryMark())
    billing = CountingBilling(
        base_url=f"{sandbox.url}/api/v1",
        api_key=sandbox.api_key,
        device_id=BOX.device_id,
        timeout=timedelta(seconds=10),
        retries=0,
        dialect="auto",
        agent_version="0",
    )
    billing.asked = Counter()
    database, cache = Database(dsn=dsn), RedisCache(url=redis_url, timeout=timedelta(seconds=10))
    await database.open()
    owner = {"device_id": BOX.device_id, "tenant_id": BOX.tenant_id}
    licensing = Licensing(
        around=Surroundings(
            tenant=BOX,
            policy=LicensePolicy(durations=Durations(), tick=timedelta(milliseconds=1)),
            billing=billing,
            connectivity=Connectivity(clock=clock, billing=billing),
            clock=clock,
            machine=machine,
            leases=no_leases(BOX),
            entropy=os.urandom,
        ),
        tiers=[
            FileEvidence(folder / "evidence.json"),
            RedisEvidence(cache=cache, ttl=timedelta(hours=1), **owner),
            PostgresEvidence(database=database, clock=clock, **owner),
        ],
        sealer=DeviceSealer(DeviceKey(bytes(32))),
        roster=FileRoster(folder / "roster.json"),
        requests=MemoryRequest(),
        edge_log=PostgresLicenseLog(database=database, **owner),
        publisher=Announcements(),
    )
    plugins = PluginHost(disabled=(), timeout=timedelta(seconds=10))
    entitlements = Entitlements(
        catalog=plugins.load().catalog,
        licensing=licensing,
        words=FakeWords(),
        quotas=FakeQuotas(),
        clock=clock,
        monotonic=machine.monotonic,
        tiers={},
    )
    await licensing.start()
    running = asyncio.create_task(licensing.run())
    try:
        yield machine, billing, licensing, entitlements
    finally:
        running.cancel()
        await asyncio.wait([running])
        await licensing.stop()
        for one in (billing, database, cache):
            await one.close()
        plugins.close()


async def refreshed(licensing: Licensing) -> None:
    """Whatever is due has been asked for."""
    async with asyncio.timeout(30):
        while licensing.refresh_due() <= timedelta(0):
            await asyncio.sleep(0.001)


async def test_an_hour_of_checks_is_answered_from_memory(tmp_path: Path, database_dsn: str, valkey_url: str) -> None:
    with SandboxProcess(tmp_path / "ledger.db", tenant=BOX.tenant_id) as sandbox:
        sandbox.admin.faults({"action": "classic_only"})  # it says no time: its clock does not live through our hour
        for camera in CAMERAS:
            sandbox.admin.subscribe(BOX.tenant_id, camera_id=camera, mode=LicenseMode.BASE)
        async with box(tmp_path, sandbox, database_dsn, valkey_url) as (machine, billing, licensing, entitlements):
            for camera in CAMERAS:
                licensing.register(camera)
            await refreshed(licensing)
            asked, decided = value(telemetry.ENTITLEMENT_CHECKS), value(telemetry.ENTITLEMENT_DECISIONS)
            read = value(telemetry.CACHE_HITS, tier="memory")
            for _ in range(HOUR):
                for camera in CAMERAS:
                    assert entitlements.check("analytics.detection", camera).allowed
                    assert (await licensing.validate(camera)).standing.state is LicenseState.VALID
                machine.advance(timedelta(seconds=1))
                await refreshed(licensing)
            entitlements.check("analytics.detection", CAMERAS[0])
    checks = value(telemetry.ENTITLEMENT_CHECKS) - asked
    decisions = value(telemetry.ENTITLEMENT_DECISIONS) - decided
    reads = value(telemetry.CACHE_HITS, tier="memory") - read
    alone = max(billing.asked.values(), default=0)
    print(f"\n{checks:.0f} checks, {decisions:.0f} not from memory; {billing.reports} reports, {alone} more a camera")  # noqa: T201 - for -s
    assert checks >= HOUR * len(CAMERAS)
    assert 1 - decisions / checks >= 0.99
    assert reads == HOUR * len(CAMERAS)
    assert billing.reports >= 1
    assert billing.reports + alone <= 3
