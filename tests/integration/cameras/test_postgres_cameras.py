"""What only PostgreSQL can get wrong: numbers of statements, others who write at once, rows that others wrote."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tapi_agent.adapters.postgres.cameras import PostgresCameras
from tapi_agent.adapters.postgres.connection import GuardedConnection
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.camera import CameraSetup, Component, ComponentRole, LineZone, Point, PolygonZone
from tapi_agent.domain.errors import IntegrityError, InvalidInputError, RejectedError, UnavailableError
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

GATE = CameraId("gate")
POINT = Point(x=1, y=2)


def camera(camera_id: str = "gate", **fields: object) -> CameraSetup:
    plain = CameraSetup(
        camera_id=CameraId(camera_id),
        device_id=DeviceId("box"),
        registered_at=START,
        components=tuple(Component(component_id=f"c{n}", role=ComponentRole.PROCESSOR, type="t") for n in range(3)),
        line_zones=tuple(LineZone(zone_id=f"l{n}", component_id="c1", start=POINT, end=POINT) for n in range(3)),
        polygon_zones=(PolygonZone(zone_id="p", component_id="c2", corners=(POINT,) * 3),),
    )
    return replace(plain, **fields)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Every statement that is executed."""
    executed: Counter[str] = Counter()
    execute = GuardedConnection.execute

    async def counting(self: GuardedConnection, query: Any, *arguments: Any, **options: Any) -> Any:
        executed[query] += query != ""  # which is how the pool looks whether a connection lives
        return await execute(self, query, *arguments, **options)

    monkeypatch.setattr(GuardedConnection, "execute", counting)
    return executed


CALLS: dict[str, tuple[Callable[[PostgresCameras, list[CameraSetup]], Awaitable[object]], int]] = {
    "all": (lambda store, _: store.all(), 1),
    "get": (lambda store, _: store.get(GATE), 1),
    "save": (lambda store, setups: store.save(setups), 3),
    "change": (lambda store, _: store.change(GATE, lambda setup: setup), 5),
    "delete": (lambda store, _: store.delete(GATE, DeviceId("box")), 1),
    "registrations": (lambda store, _: store.registrations(), 1),
    "register": (lambda store, setups: store.register({one.camera_id: START for one in setups}), 1),
}


@pytest.mark.parametrize("count", [1, 128])
@pytest.mark.parametrize("call", CALLS)
async def test_the_number_of_statements_does_not_depend_on_the_number_of_cameras(
    store: PostgresCameras, statements: Counter[str], call: str, count: int
) -> None:
    setups = [camera(), *(camera(f"cam {number}") for number in range(1, count))]
    await store.save(setups)
    statements.clear()
    act, expected = CALLS[call]
    await act(store, setups)
    assert statements.total() == expected


async def test_two_changes_at_once_are_both_kept(store: PostgresCameras) -> None:
    await store.save([camera(name="")])
    await asyncio.gather(
        *(
            store.change(GATE, lambda setup, letter=letter: replace(setup, name=setup.name + letter))
            for letter in "abcdefgh"
        )
    )
    found = await store.get(GATE)
    assert found is not None
    assert sorted(found.name) == list("abcdefgh")
    assert len(found.components) == 3


async def test_who_save_the_same_cameras_at_once_do_not_wait_for_each_other(store: PostgresCameras) -> None:
    setups = [camera(f"cam {number}") for number in range(40)]
    await asyncio.gather(*(store.save(setups if turn % 2 else setups[::-1]) for turn in range(8)))
    assert list(await store.all()) == sorted(setups, key=lambda one: one.camera_id)


async def test_a_reader_never_sees_a_zone_without_its_component(store: PostgresCameras) -> None:
    bare = camera(components=(), line_zones=(), polygon_zones=())
    whole = camera()
    await store.save([bare])
    writing = asyncio.create_task(_turns(store, whole, bare))
    seen = [await store.get(GATE) for _ in range(60)]
    await writing
    assert {one for one in seen if one} <= {whole, bare}


async def _turns(store: PostgresCameras, *setups: CameraSetup) -> None:
    for turn in range(30):
        await store.save([setups[turn % 2]])


@pytest.mark.parametrize(
    ("setup", "error"),
    [
        pytest.param(camera(name="a\0b"), RejectedError, id="NUL"),
        pytest.param(camera(name="\ud800"), InvalidInputError, id="half a surrogate pair"),
        pytest.param(camera(config="{"), RejectedError, id="no JSON"),
        pytest.param(camera(config="[]"), RejectedError, id="no object"),
        pytest.param(camera(metadata='{"a": "\\u0000"}'), RejectedError, id="NUL in metadata"),
        pytest.param(camera(components=(*camera().components, camera().components[0])), RejectedError, id="twice"),
        pytest.param(camera(components=()), RejectedError, id="zone without processor"),
        pytest.param(camera(""), RejectedError, id="no name"),
        pytest.param(
            camera(polygon_zones=(replace(camera().polygon_zones[0], corners=(POINT,)),)), RejectedError, id="no area"
        ),
    ],
)
async def test_what_the_database_refuses_changes_nothing(
    store: PostgresCameras, setup: CameraSetup, error: type[Exception]
) -> None:
    await store.save([camera(name="before")])
    with pytest.raises(error):
        await store.save([camera("other"), setup])
    assert list(await store.all()) == [camera(name="before")]


async def test_what_an_import_wrote_is_read_word_for_word(store: PostgresCameras, database: Database) -> None:
    config = '{"n": 1e999, "b": 1,\n "a": 0.10, "s": "\\ud800", "a": 2}'
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO cameras (tenant_id, camera_id, device_id, registered_at, config) "
            "VALUES ('acme', 'gate', 'box', %s, %s)",
            (START, config),
        )
        await connection.execute(
            "INSERT INTO camera_components (tenant_id, camera_id, component_id, role, type, settings) "
            "VALUES ('acme', 'gate', 'z', 'processor', 't', %s)",
            (config,),
        )
        await connection.execute(
            "INSERT INTO polygon_zones (tenant_id, camera_id, zone_id, component_id, corners) "
            'VALUES (\'acme\', \'gate\', \'p\', \'z\', \'[{"x": 1, "y": 2.50, "more": 3}, {"x": 1, "y": 2}, '
            '{"x": 1, "y": 2}]\')',
        )
    found = await store.get(GATE)
    assert found is not None
    assert (found.config, found.components[0].settings) == (config, config)
    assert found.polygon_zones[0].corners[0] == Point(x=1, y=2.5)


async def test_a_row_that_makes_no_sense_is_named(store: PostgresCameras, database: Database) -> None:
    await store.save([camera()])
    async with database.connection() as connection:
        await connection.execute("UPDATE polygon_zones SET corners = '[1, 2, 3]'")
    with pytest.raises(IntegrityError, match="camera 'gate' cannot be read") as caught:
        await store.all()
    assert caught.value.fix == "save the camera again"
    await store.save([camera()])
    assert list(await store.all()) == [camera()]


async def test_tenants_do_not_see_each_other(store: PostgresCameras, database: Database) -> None:
    other = PostgresCameras(database=database, device_id=DeviceId("box"), tenant_id=TenantId("globex"))
    await store.save([camera()])
    assert list(await other.all()) == []
    assert await other.get(GATE) is None
    assert await other.registrations() == {}
    assert await other.delete(GATE, DeviceId("box")) is False
    await other.save([camera(name="theirs")])
    assert await store.get(GATE) == camera()


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    database = Database(dsn="host=/nonexistent")
    await database.open()
    store = PostgresCameras(database=database, device_id=DeviceId("box"), tenant_id=TenantId("acme"))
    for attempt in (store.all(), store.save([camera()]), store.registrations()):
        with pytest.raises(UnavailableError, match="unreachable") as caught:
            await attempt
        assert caught.value.fix
    await database.close()
