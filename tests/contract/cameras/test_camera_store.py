"""One suite for the store of cameras: the fake and PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from tapi_agent.adapters.postgres.cameras import PostgresCameras
from tapi_agent.domain.camera import (
    CameraSetup,
    Component,
    ComponentRole,
    LineZone,
    Point,
    PolygonZone,
)
from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.testing.cameras import MemoryCameras

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.ports.cameras import CameraStore

BOX, OTHER = DeviceId("box"), DeviceId("other box")
T: Final = datetime(2027, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
DAY: Final = timedelta(days=1)
SOURCE, PROCESSOR, SINK = ComponentRole
HOSTILE: Final = [
    "gate/1",
    "100%",
    "a'; DROP TABLE cameras; --",
    "Tür ß 歩行者 👁",
    "%s %(tenant_id)s",
    '"\\',
    "\x1b[2J",
]


def bare(camera_id: str = "gate", **fields: object) -> CameraSetup:
    return replace(CameraSetup(camera_id=CameraId(camera_id), device_id=BOX, registered_at=T), **fields)


def full(camera_id: str = "gate") -> CameraSetup:
    return bare(
        camera_id,
        name="Gate Nord/Süd",
        enabled=False,
        metadata='{"note":"line\\nbreak"}',
        config='{"zoom": 1.10,  "big": 12345678901234567890.123456789012345678901234567890, "b": 1, "a": [1E+2]}',
        components=(
            Component(component_id="in", role=SOURCE, type="rtsp", settings='{"url": "rtsp://u:p%40ss@h:554/1"}'),
            Component(component_id="z", role=PROCESSOR, type="line_zone_manager"),
            Component(component_id="a", role=PROCESSOR, type="polygon_zone_manager", settings='{"t": 0.450}'),
            Component(component_id="db", role=SINK, type="database"),
        ),
        line_zones=(
            LineZone(zone_id="Z", component_id="z", start=Point(x=0.1, y=-2.5e300), end=Point(x=1 / 3, y=20)),
            LineZone(
                zone_id="a",
                component_id="z",
                start=Point(x=10, y=20),
                end=Point(x=300, y=20),
                name="entry",
                direction="left_to_right",
                metadata='{"color":"#fff"}',
            ),
        ),
        polygon_zones=(
            PolygonZone(
                zone_id="bay",
                component_id="a",
                corners=(Point(x=1, y=1), Point(x=9, y=1), Point(x=9, y=9), Point(x=5e-324, y=2 / 3)),
                name="bay",
                zone_type="dwell",
            ),
        ),
    )


@pytest.fixture
def stores(store_database: Database | None) -> Callable[[DeviceId], CameraStore]:
    """The store of a device; all are of one tenant."""
    kept: dict[CameraId, CameraSetup] = {}

    def store(device_id: DeviceId) -> CameraStore:
        if store_database is None:
            return MemoryCameras(device_id, kept)
        return PostgresCameras(database=store_database, device_id=device_id, tenant_id=TenantId("acme"))

    return store


@pytest.fixture
def store(stores: Callable[[DeviceId], CameraStore]) -> CameraStore:
    return stores(BOX)


@pytest.mark.parametrize("setup", [bare(), full()], ids=["bare", "full"])
async def test_a_camera_comes_back_as_it_was(store: CameraStore, setup: CameraSetup) -> None:
    assert list(await store.save([setup])) == [setup]
    found = await store.get(setup.camera_id)
    assert found is not None
    assert replace(found, metadata="") == replace(setup, metadata="")
    assert json.loads(found.metadata) == json.loads(setup.metadata)  # equal, but jsonb has a text of its own
    assert await store.all() == [found]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
async def test_no_text_is_taken_for_anything_else(store: CameraStore, text: str) -> None:
    part = Component(component_id=text, role=PROCESSOR, type=text)
    corners = (Point(x=0, y=0),) * 3
    line = LineZone(zone_id=text, component_id=text, start=corners[0], end=corners[0], name=text, direction=text)
    area = PolygonZone(zone_id=text, component_id=text, corners=corners, name=text, zone_type=text)
    setup = bare(text, name=text, components=(part,), line_zones=(line,), polygon_zones=(area,))
    await store.save([setup, bare("beside")])
    assert await store.get(CameraId(text)) == setup
    assert await store.delete(CameraId(text), BOX)
    assert [one.camera_id for one in await store.all()] == ["beside"]


async def test_parts_come_in_order_of_role_and_zones_of_id(store: CameraStore) -> None:
    setup = full()
    shuffled = replace(
        setup,
        components=tuple(setup.components[index] for index in (3, 1, 0, 2)),
        line_zones=setup.line_zones[::-1],
    )
    await store.save([shuffled])
    found = await store.get(setup.camera_id)
    assert found is not None
    assert [one.component_id for one in found.components] == ["in", "z", "a", "db"]
    assert [one.zone_id for one in found.line_zones] == ["Z", "a"]


async def test_saving_again_replaces_the_whole(store: CameraStore) -> None:
    await store.save([full(), full("yard")])
    later = bare(name="new", components=full().components[:1])
    await store.save([later])
    assert await store.get(CameraId("gate")) == later
    yard = await store.get(CameraId("yard"))
    assert yard is not None
    assert len(yard.components) == 4


async def test_an_earlier_registration_stays_and_one_from_before_wins(store: CameraStore) -> None:
    await store.save([bare()])
    assert [one.registered_at for one in await store.save([bare(registered_at=T + DAY)])] == [T]
    assert [one.registered_at for one in await store.save([bare(registered_at=T - DAY)])] == [T - DAY]
    assert await store.registrations() == {"gate": T - DAY}


async def test_cameras_come_by_seniority(store: CameraStore) -> None:
    await store.save([bare("c"), bare("b", registered_at=T - DAY), bare("B"), bare("a", registered_at=T + DAY)])
    assert [one.camera_id for one in await store.all()] == ["b", "B", "c", "a"]
    assert list(await store.registrations()) == ["b", "B", "c", "a"]


async def test_128_cameras_in_one_call(store: CameraStore) -> None:
    setups = [full(f"cam-{number:03d}") for number in range(128)]
    assert list(await store.save(setups)) == setups
    assert [one.camera_id for one in await store.all()] == [one.camera_id for one in setups]


async def test_nothing_is_nothing(store: CameraStore) -> None:
    assert list(await store.save([])) == []
    await store.register({})
    assert list(await store.all()) == []
    assert await store.registrations() == {}
    assert await store.get(CameraId("gate")) is None
    assert await store.delete(CameraId("gate"), BOX) is False
    assert await store.change(CameraId("gate"), lambda setup: setup) is None


async def test_a_change_is_made_of_what_is_there(store: CameraStore) -> None:
    await store.save([full()])
    changed = await store.change(CameraId("gate"), lambda setup: replace(setup, name=setup.name + "!"))
    found = await store.get(CameraId("gate"))
    assert found is not None
    assert changed == found
    assert (found.name, found.components) == (full().name + "!", full().components)


async def test_a_change_that_fails_changes_nothing(store: CameraStore) -> None:
    await store.save([full()])
    before = await store.get(CameraId("gate"))

    def fail(_: CameraSetup) -> CameraSetup:
        raise RejectedError("no", code="no")

    with pytest.raises(RejectedError, match="no"):
        await store.change(CameraId("gate"), fail)
    assert await store.get(CameraId("gate")) == before


async def test_a_deleted_camera_is_gone_with_its_parts(store: CameraStore) -> None:
    await store.save([full(), bare("yard")])
    assert await store.delete(CameraId("gate"), BOX) is True
    assert await store.delete(CameraId("gate"), BOX) is False
    assert [one.camera_id for one in await store.all()] == ["yard"]
    await store.save([bare()])
    assert await store.get(CameraId("gate")) == bare()


async def test_a_registration_adds_what_is_missing_and_keeps_the_earlier_time(store: CameraStore) -> None:
    await store.save([full(), bare("yard", registered_at=T - DAY)])
    await store.register({CameraId("gate"): T - DAY, CameraId("yard"): T, CameraId("door"): T})
    assert await store.registrations() == {"gate": T - DAY, "yard": T - DAY, "door": T}
    gate, door = await store.get(CameraId("gate")), await store.get(CameraId("door"))
    assert gate is not None
    assert gate.components == full().components
    assert door == bare("door")


async def test_another_devices_cameras_are_seen_and_left_alone(stores: Callable[[DeviceId], CameraStore]) -> None:
    mine, others = stores(BOX), stores(OTHER)
    await others.save([replace(full(), device_id=OTHER)])
    theirs = await mine.get(CameraId("gate"))
    assert theirs is not None
    assert theirs.device_id == OTHER
    for attempt in (
        mine.save([bare("new"), bare()]),
        mine.delete(CameraId("gate"), BOX),
        mine.change(CameraId("gate"), lambda setup: setup),
    ):
        with pytest.raises(RejectedError, match="'gate' is served by device 'other box'") as caught:
            await attempt
        assert caught.value.code == "camera_elsewhere"
    await mine.register({CameraId("gate"): T - DAY})
    assert await mine.all() == [theirs]
    assert await mine.registrations() == {}
    assert await others.registrations() == {"gate": T}


async def test_a_camera_of_a_device_that_is_gone_can_be_deleted_by_naming_it(
    stores: Callable[[DeviceId], CameraStore],
) -> None:
    mine, others = stores(BOX), stores(OTHER)
    await mine.save([bare("yard")])
    await others.save([bare(device_id=OTHER)])
    with pytest.raises(RejectedError, match="'yard' is served by device 'box'"):
        await mine.delete(CameraId("yard"), OTHER)
    assert await mine.delete(CameraId("gate"), OTHER) is True
    assert [one.camera_id for one in await others.all()] == ["yard"]
