"""Two agents of one tenant on one Redis: what one hears, the other asks about within a second."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
import redis

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.adapters.redis.evidence import RedisEvidence
from tapi_agent.adapters.signing import KEY_BYTES, DeviceKey, DeviceSealer
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseState, Subject
from tapi_agent.services.caching import Invalidator
from tapi_agent.services.caching import Surroundings as CacheSurroundings
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.licensing import LicensePolicy, Licensing, Neighbors, Surroundings
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.billing import GOOD, FakeBilling
from tapi_agent.testing.leases import no_leases
from tapi_agent.testing.licenses import Announcements, MemoryLicenseLog, MemoryMark, MemoryRequest, MemoryRoster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ACME: Final = TenantId("acme")
GATE, YARD = CameraId("gate"), CameraId("yard")
VALID, EXPIRED = LicenseState.VALID, LicenseState.EXPIRED


class Box:
    """An agent's licensing with a billing service of its own, so that what it is asked can be told apart."""

    def __init__(self, name: str, cache: RedisCache, tenant: TenantId) -> None:
        self.billing = FakeBilling()
        machine = SystemClock()
        clock = Timekeeper(clock=machine, store=MemoryMark())
        device = DeviceId(name)
        self.connectivity = Connectivity(clock=clock, billing=self.billing)
        self.licensing = Licensing(
            around=Surroundings(
                tenant=Subject(device_id=device, tenant_id=tenant, camera_id=TENANT),
                policy=LicensePolicy(tick=timedelta(milliseconds=50), confirm_denial=timedelta(0)),
                billing=self.billing,
                connectivity=self.connectivity,
                clock=clock,
                machine=machine,
                leases=no_leases(Subject(device_id=device, tenant_id=tenant, camera_id=TENANT)),
                entropy=secrets.token_bytes,
            ),
            tiers=[RedisEvidence(cache=cache, device_id=device, tenant_id=tenant, ttl=timedelta(hours=1))],
            sealer=DeviceSealer(DeviceKey(secrets.token_bytes(KEY_BYTES))),
            roster=MemoryRoster(),
            requests=MemoryRequest(),
            edge_log=MemoryLicenseLog(),
            publisher=Announcements(),
        )
        around = CacheSurroundings(store=cache, tenant_id=tenant, clock=machine, entropy=secrets.token_bytes)
        self.invalidator = Invalidator(around)
        self.neighbors = Neighbors(
            licensing=self.licensing,
            invalidator=self.invalidator,
            connectivity=self.connectivity,
            entropy=secrets.token_bytes,
        )

    def asked(self) -> list[CameraId]:
        return [subject.camera_id for subject in self.billing.asked]

    def state(self, camera: CameraId) -> LicenseState:
        return self.licensing.view(camera).standing.state


@asynccontextmanager
async def box(name: str, url: str, *cameras: CameraId, tenant: TenantId = ACME) -> AsyncIterator[Box]:
    """A running box whose cameras have been heard of."""
    cache = RedisCache(url=url, timeout=timedelta(seconds=5))
    made = Box(name, cache, tenant)
    await made.licensing.start()
    for camera in cameras:
        made.licensing.register(camera)
    loops = (made.licensing.run, made.invalidator.run, made.neighbors.run)
    tasks = [asyncio.create_task(loop()) for loop in loops]
    try:
        await until(lambda: all(made.state(camera) is VALID for camera in cameras))
        yield made
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await made.licensing.stop()
        await cache.close()


async def until(condition: Callable[[], object], *, within: float = 30) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


async def subscribed(url: str, tenant: TenantId, count: int) -> None:
    """Return when so many listen to the tenant's channel."""
    with redis.Redis.from_url(url) as client:
        await until(lambda: client.pubsub_numsub(f"tapi:{tenant}:invalidate")[0][1] == count)


@pytest.fixture
async def boxes(valkey_url: str) -> AsyncIterator[tuple[Box, Box]]:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(box("one", valkey_url, GATE))
        two = await stack.enter_async_context(box("two", valkey_url, YARD))
        await subscribed(valkey_url, ACME, 2)
        yield one, two


async def test_what_one_box_hears_changes_the_other_within_a_second(boxes) -> None:
    one, two = boxes
    for each in boxes:
        each.billing.deny(GATE)
        each.billing.deny(YARD)
    await one.licensing.refresh()
    await one.licensing.refresh()
    assert one.state(GATE) is EXPIRED
    await until(lambda: two.state(YARD) is EXPIRED, within=1)


async def test_neither_chases_the_other(boxes) -> None:
    one, two = boxes
    before = len(one.asked()), len(two.asked())
    for number in range(2, 4):
        for each, camera in ((one, GATE), (two, YARD)):
            each.billing.answer(camera, replace(GOOD, packs=(f"pack {number}",), sequence=number))
        await one.licensing.refresh()
        await until(lambda number=number: two.licensing.view(YARD).evidence.sequence in {2, number})
    assert len(one.asked()) - before[0] == 2, "nobody told it anything"
    assert len(two.asked()) - before[1] == 1, "told twice within a minute, it has asked once"


async def test_another_tenant_hears_nothing(valkey_url: str, boxes) -> None:
    one, two = boxes
    async with box("three", valkey_url, CameraId("hall"), tenant=TenantId("other")) as three:
        await subscribed(valkey_url, TenantId("other"), 1)
        before = len(three.asked())
        one.billing.answer(GATE, replace(GOOD, packs=("sold",), sequence=2))
        await one.licensing.refresh()
        await until(lambda: len(two.asked()) > 1, within=1)
        assert len(three.asked()) == before
