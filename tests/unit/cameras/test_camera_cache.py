"""Reading through the cache: once from the database, then from memory; what anybody changes is seen."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tapi_agent.domain.camera import CameraSetup, Component, ComponentRole, LineZone, Point, PolygonZone
from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.services.caching import Invalidator, Surroundings
from tapi_agent.services.camera_cache import CachedCameras
from tapi_agent.testing.cache import FakeSharedCache
from tapi_agent.testing.cameras import MemoryCameras
from tapi_agent.testing.clock import START, FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BOX = DeviceId("box")
GATE, YARD = CameraId("gate"), CameraId("yard")
SETUP = CameraSetup(
    camera_id=GATE,
    device_id=BOX,
    registered_at=START + timedelta(microseconds=1),
    name="Tür 歩行者",
    enabled=False,
    metadata='{"a": 1.10}',
    config='{"big": 12345678901234567890.10}',
    components=(Component(component_id="z", role=ComponentRole.PROCESSOR, type="t", settings='{"url": "rtsp://"}'),),
    line_zones=(LineZone(zone_id="l", component_id="z", start=Point(x=0.1, y=-2.5e300), end=Point(x=1 / 3, y=0)),),
    polygon_zones=(PolygonZone(zone_id="p", component_id="z", corners=(Point(x=1, y=5e-324),) * 3),),
)


class Counting(MemoryCameras):
    """Counts how often it is read."""

    reads: Counter[str]

    def __init__(self, kept: dict[CameraId, CameraSetup]) -> None:
        super().__init__(BOX, kept)
        self.reads = Counter()

    async def all(self) -> Any:
        self.reads["all"] += 1
        return await super().all()

    async def get(self, camera_id: CameraId) -> CameraSetup | None:
        self.reads[camera_id] += 1
        return await super().get(camera_id)


class Site:
    """Agents on one database and one shared cache."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.shared = FakeSharedCache(self.clock)
        self.kept: dict[CameraId, CameraSetup] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def agent(self) -> tuple[CachedCameras, Counting]:
        around = Surroundings(store=self.shared, tenant_id=TenantId("acme"), clock=self.clock, entropy=bytes)
        around = replace(around, entropy=lambda size: bytes([len(self.tasks)]) * size)
        invalidator, database = Invalidator(around), Counting(self.kept)
        self.tasks.append(asyncio.create_task(invalidator.run()))
        cameras = CachedCameras(database, around=around, invalidator=invalidator)
        await turns()  # it listens; whatever it knew before might have changed
        return cameras, database


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    yield site
    for task in site.tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_was_read_is_not_read_again(site: Site) -> None:
    cameras, database = await site.agent()
    await cameras.save([SETUP])
    for _ in range(3):
        assert await cameras.get(GATE) == SETUP
        assert await cameras.get(YARD) is None
        assert list(await cameras.all()) == [SETUP]
    assert database.reads == {"gate": 1, "yard": 1, "all": 1}


async def test_another_agent_finds_it_in_the_shared_cache_as_it_was(site: Site) -> None:
    cameras, _ = await site.agent()
    await cameras.save([SETUP])
    await cameras.get(GATE)
    await cameras.all()
    other, database = await site.agent()
    assert await other.get(GATE) == SETUP
    assert list(await other.all()) == [SETUP]
    assert database.reads == {}


@pytest.mark.parametrize("change", ["save", "change", "delete", "register"])
async def test_what_one_agent_changes_the_other_sees(site: Site, change: str) -> None:
    (here, _), (there, _) = await site.agent(), await site.agent()
    await here.save([SETUP])
    for cameras in (here, there):
        assert await cameras.get(GATE) == SETUP
        assert list(await cameras.all()) == [SETUP]
        assert await cameras.get(YARD) is None
    match change:
        case "save":
            await here.save([replace(SETUP, name="new")])
        case "change":
            await here.change(GATE, lambda setup: replace(setup, name="new"))
        case "delete":
            assert await here.delete(GATE, BOX)
        case _:
            await here.register({GATE: START, YARD: START})
            assert (await here.registrations()).keys() == {"gate", "yard"}
    await turns()
    for cameras in (here, there):
        assert await cameras.get(GATE) == site.kept.get(GATE) != SETUP
        assert await cameras.get(YARD) == site.kept.get(YARD)
        assert {setup.camera_id: setup for setup in await cameras.all()} == site.kept


async def test_what_was_read_lately_outlives_the_database(site: Site) -> None:
    cameras, database = await site.agent()
    await cameras.save([SETUP])
    await cameras.all()
    await cameras.get(GATE)
    database.is_down = True
    site.shared.flush()
    site.clock.advance(timedelta(minutes=50))
    assert await cameras.get(GATE) == SETUP
    assert list(await cameras.all()) == [SETUP]
    with pytest.raises(UnavailableError):
        await cameras.get(YARD)
    site.clock.advance(timedelta(minutes=11))
    with pytest.raises(UnavailableError):
        await cameras.all()


async def test_a_database_that_is_back_is_asked_within_a_second(site: Site) -> None:
    cameras, database = await site.agent()
    database.is_down = True
    for _ in range(5):
        with pytest.raises(UnavailableError):
            await cameras.get(GATE)
        site.clock.advance(timedelta(seconds=1))
    site.kept[GATE] = SETUP
    database.is_down = False
    assert await cameras.get(GATE) == SETUP


async def test_after_a_write_without_an_answer_nothing_old_is_told(site: Site) -> None:
    cameras, database = await site.agent()
    await cameras.save([SETUP])
    await cameras.get(GATE)
    database.is_down = True
    with pytest.raises(UnavailableError):
        await cameras.save([replace(SETUP, name="new")])
    database.is_down = False
    site.kept[GATE] = replace(SETUP, name="new")  # its COMMIT had counted
    assert await cameras.get(GATE) == site.kept[GATE]


async def test_a_refusal_passes(site: Site) -> None:
    cameras, _ = await site.agent()
    await MemoryCameras(DeviceId("other"), site.kept).register({GATE: START})
    with pytest.raises(RejectedError):
        await cameras.delete(GATE, BOX)


async def test_without_the_shared_cache_it_works_as_well(site: Site) -> None:
    cameras, database = await site.agent()
    site.shared.go_down()
    await cameras.save([SETUP])
    assert await cameras.get(GATE) == await cameras.get(GATE) == SETUP
    assert database.reads == {"gate": 1}
    await cameras.change(GATE, lambda setup: replace(setup, name="new"))
    found = await cameras.get(GATE)
    assert found is not None
    assert found.name == "new"
