"""A camera is in the database and registered with licensing, or neither; whatever fails half way is made good."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tapi_agent.domain.camera import CameraSetup
from tapi_agent.domain.errors import InvalidInputError, RejectedError, UnavailableError
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.services.licensing import verdicts
from tapi_agent.testing.cameras import MemoryCameras
from tapi_agent.testing.clock import START

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
GATE, YARD = CameraId("gate"), CameraId("yard")


async def test_a_camera_that_is_kept_is_registered_at_the_same_instant(stage) -> None:
    setup = await stage.cameras.put({"camera_id": "gate"})
    assert setup == CameraSetup(camera_id=GATE, device_id=DeviceId("box"), registered_at=START)
    assert stage.registered() == stage.kept() == {"gate": START}


async def test_a_camera_that_was_only_validated_keeps_its_seniority(stage) -> None:
    stage.licensing.register(GATE)
    stage.machine.advance(DAY)
    assert (await stage.cameras.put({"camera_id": "gate"})).registered_at == START
    assert stage.registered() == stage.kept() == {"gate": START}


async def test_a_camera_that_only_the_database_knew_keeps_its_seniority(stage) -> None:
    await stage.store.register({GATE: START - DAY})
    assert (await stage.cameras.put({"camera_id": "gate"})).registered_at == START - DAY
    assert stage.registered() == {"gate": START - DAY}


async def test_a_camera_too_many_is_not_kept(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "MOST_CAMERAS", 1)
    await stage.cameras.put({"camera_id": "gate"})
    with pytest.raises(InvalidInputError, match="yard"):
        await stage.cameras.put({"camera_id": "yard"})
    assert list(stage.kept()) == ["gate"]
    await stage.cameras.put({"camera_id": "gate", "name": "again"})


async def test_while_the_database_is_down_nothing_is_done(stage) -> None:
    await stage.cameras.put({"camera_id": "gate"})
    stage.store.is_down = True
    for attempt in (
        stage.cameras.put({"camera_id": "yard"}),
        stage.cameras.patch(GATE, {"name": "n"}),
        stage.cameras.delete(GATE),
        stage.cameras.get(GATE),
        stage.cameras.all(),
    ):
        with pytest.raises(UnavailableError):
            await attempt
    assert list(stage.registered()) == ["gate"]
    assert stage.store.kept[GATE].name == ""


async def test_what_is_registered_is_written_down_and_what_is_written_down_is_registered(stage) -> None:
    stage.licensing.register(GATE)
    stage.machine.advance(DAY)
    stage.licensing.register(CameraId("door"))
    await stage.store.register({YARD: START + DAY, CameraId("door"): START - DAY})
    assert await stage.cameras.reconcile() is None
    assert stage.registered() == stage.kept() == {"gate": START, "yard": START + DAY, "door": START - DAY}


async def test_of_two_registrations_the_earlier_one_is_written_down(stage) -> None:
    stage.licensing.register(GATE)
    await stage.store.save(
        [CameraSetup(camera_id=GATE, device_id=DeviceId("box"), registered_at=START + DAY, name="n")]
    )
    await stage.cameras.reconcile()
    assert stage.kept() == {"gate": START}
    assert stage.store.kept[GATE].name == "n"


async def test_comparing_again_changes_nothing(stage) -> None:
    stage.licensing.register(GATE)
    await stage.cameras.reconcile()
    generation, kept = stage.licensing.generation, dict(stage.store.kept)
    await stage.cameras.reconcile()
    assert (stage.licensing.generation, stage.store.kept) == (generation, kept)


async def test_a_database_that_is_down_is_looked_at_again_soon(stage) -> None:
    stage.licensing.register(GATE)
    stage.store.is_down = True
    assert await stage.cameras.reconcile() == SECOND
    stage.store.is_down = False
    assert await stage.cameras.reconcile() is None
    assert stage.kept() == {"gate": START}


async def test_a_lost_roster_is_made_good_from_the_database(stage) -> None:
    await stage.cameras.put({"camera_id": "gate"})
    stage.machine.advance(DAY)
    await stage.cameras.put({"camera_id": "yard"})
    stage.roster.cameras = None
    await stage.boot()
    stage.licensing.register(YARD)
    await stage.cameras.reconcile()
    assert list(stage.registered().items()) == [("gate", START), ("yard", START + DAY)]


async def test_a_wiped_database_is_made_good_from_the_roster(stage) -> None:
    await stage.cameras.put({"camera_id": "gate"})
    stage.store.kept.clear()
    await stage.cameras.reconcile()
    assert stage.kept() == {"gate": START}


async def test_a_deleted_camera_does_not_come_back(stage) -> None:
    await stage.cameras.put({"camera_id": "gate"})
    await stage.cameras.delete(GATE)
    await stage.cameras.reconcile()
    await stage.boot()
    await stage.cameras.reconcile()
    assert stage.registered() == stage.kept() == {}
    with pytest.raises(RejectedError, match="no camera 'gate'") as caught:
        await stage.cameras.delete(GATE)
    assert caught.value.code == "camera_unknown"


async def test_a_camera_that_was_only_validated_can_be_deleted(stage) -> None:
    stage.licensing.register(GATE)
    await stage.cameras.delete(GATE, DeviceId("box"))
    assert stage.registered() == {}


class Slow(MemoryCameras):
    """Answers what it has seen only after a pause."""

    async def registrations(self):
        found = dict(await super().registrations())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return found


async def test_a_camera_that_is_deleted_while_both_are_compared_does_not_come_back(stage) -> None:
    stage.store = Slow(DeviceId("box"))
    await stage.boot()
    await stage.cameras.put({"camera_id": "gate"})
    await asyncio.gather(stage.cameras.reconcile(), stage.cameras.delete(GATE))
    assert stage.registered() == stage.kept() == {}


async def test_another_devices_camera_is_neither_registered_here_nor_taken_over(stage) -> None:
    other = MemoryCameras(DeviceId("other"), stage.store.kept)
    await other.register({GATE: START - DAY})
    stage.licensing.register(GATE)
    await stage.cameras.reconcile()
    assert stage.registered() == {"gate": START}
    assert stage.kept() == {"gate": START - DAY}
    await stage.cameras.delete(GATE, DeviceId("other"))
    assert (stage.registered(), stage.kept()) == ({"gate": START}, {})


async def test_a_device_sees_all_or_asks_for_one(stage) -> None:
    await MemoryCameras(DeviceId("other"), stage.store.kept).register({YARD: START - DAY})
    await stage.cameras.put({"camera_id": "gate"})
    assert [setup.camera_id for setup in await stage.cameras.all()] == ["yard", "gate"]
    assert [setup.camera_id for setup in await stage.cameras.all(DeviceId("box"))] == ["gate"]
    assert (await stage.cameras.get(YARD)).device_id == "other"


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a\nb"], ids=ascii)
async def test_a_name_that_no_camera_has_is_asked_of_nobody(stage, name) -> None:
    stage.store.is_down = True
    for attempt in (stage.cameras.get(name), stage.cameras.patch(name, {}), stage.cameras.delete(name)):
        with pytest.raises(RejectedError) as caught:
            await attempt
        assert caught.value.code == "camera_unknown"


async def test_without_a_tenant_nothing_is_compared_and_nothing_kept(stage) -> None:
    stage.tenant = replace(stage.tenant, tenant_id=TenantId(""))
    stage.store.is_down = True
    cameras = await stage.boot()
    assert await cameras.reconcile() is None
    with pytest.raises(RejectedError) as caught:
        await cameras.put({"camera_id": "gate"})
    assert caught.value.code == "no_tenant"
