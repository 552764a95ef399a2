"""Two agents on one PostgreSQL and one Valkey: what one changes the other sees within a second."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.postgres.cameras import PostgresCameras
from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.domain.camera import CameraSetup
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.services.caching import Invalidator, Surroundings
from tapi_agent.services.camera_cache import CachedCameras
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tapi_agent.adapters.postgres.pool import Database

GATE = CameraId("gate")
SETUP = CameraSetup(camera_id=GATE, device_id=DeviceId("box"), registered_at=START)


@asynccontextmanager
async def agent(database: Database, url: str) -> AsyncIterator[CachedCameras]:
    redis = RedisCache(url=url, timeout=timedelta(seconds=5))
    around = Surroundings(store=redis, tenant_id=TenantId("acme"), clock=SystemClock(), entropy=os.urandom)
    invalidator = Invalidator(around)
    store = PostgresCameras(database=database, device_id=DeviceId("box"), tenant_id=TenantId("acme"))
    cameras = CachedCameras(store, around=around, invalidator=invalidator)
    listening = asyncio.create_task(invalidator.run())
    try:
        yield cameras
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await redis.close()


async def test_a_change_is_seen_by_the_other_within_a_second(database: Database, valkey_url: str) -> None:
    async with agent(database, valkey_url) as here, agent(database, valkey_url) as there:
        await here.save([SETUP])
        for name in ("one", "two", "three"):
            changed = replace(SETUP, name=name)
            assert await there.get(GATE)
            await there.all()
            await here.change(GATE, lambda _, changed=changed: changed)
            async with asyncio.timeout(1):
                while await there.get(GATE) != changed or list(await there.all()) != [changed]:
                    await asyncio.sleep(0.01)
        await here.delete(GATE, DeviceId("box"))
        async with asyncio.timeout(1):
            while await there.get(GATE):
                await asyncio.sleep(0.01)
