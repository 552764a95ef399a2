"""Where evidence is kept: start, restart, tiers that are down, damaged, older, newer, from the future."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Durations, LicenseState, Reason
from tapi_agent.testing.billing import GOOD
from tapi_agent.testing.clock import START
from tapi_agent.testing.licenses import MemoryEvidence

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


async def test_an_answer_reaches_every_tier(stage) -> None:
    await stage.settled("gate", "yard")
    for tier in (stage.file, stage.redis, stage.postgres):
        assert {subject.camera_id for subject in tier.kept} == {"gate", "yard"}


@pytest.mark.parametrize("survivor", ["file", "redis", "postgres"])
async def test_any_one_tier_is_enough_after_a_restart(stage, survivor) -> None:
    await stage.settled("gate")
    for tier in {stage.file, stage.redis, stage.postgres} - {getattr(stage, survivor)}:
        tier.kept.clear()
    stage.billing.offline()
    licensing = await stage.boot()
    view = licensing.view("gate")
    assert (view.standing.state, view.tier) == (VALID, survivor)


async def test_without_a_roster_the_cameras_are_those_with_evidence(stage) -> None:
    await stage.settled("gate")
    stage.roster.cameras = None
    licensing = await stage.boot()
    assert licensing.cameras() == ["gate"]
    assert stage.edges("gate")[-1] == "expired>valid"


async def test_a_camera_that_is_not_on_the_roster_is_not_brought_back_by_evidence(stage) -> None:
    await stage.settled("gate", "yard")
    stage.roster.cameras = tuple(camera for camera in stage.roster.cameras if camera.camera_id == "gate")
    assert (await stage.boot()).cameras() == ["gate"]


async def test_the_newest_evidence_wins(stage, evidence) -> None:
    stage.keep(stage.file, replace(evidence, verified_at=START - HOUR))
    stage.keep(stage.postgres, replace(evidence, verified_at=START - MINUTE))
    stage.keep(stage.redis, replace(evidence, verified_at=START - 2 * HOUR))
    licensing = await stage.boot()
    assert licensing.view("gate").evidence.verified_at == START - MINUTE
    await licensing.stop()
    assert stage.file.kept[evidence.subject][0].verified_at == START - MINUTE
    assert stage.redis.kept[evidence.subject][0].verified_at == START - MINUTE


async def test_a_tier_that_comes_up_later_is_read_and_filled(stage, evidence) -> None:
    yard = replace(evidence, subject=replace(evidence.subject, camera_id=CameraId("yard")))
    stage.keep(stage.file, replace(yard, verified_at=START))
    stage.keep(stage.postgres, replace(evidence, verified_at=START))
    stage.postgres.is_down = True
    licensing = await stage.boot("gate")
    assert stage.state("gate") is EXPIRED
    assert stage.connectivity.report()["postgres"].up is False
    stage.postgres.is_down = False
    stage.connectivity.succeeded("postgres")
    await licensing._keep()
    assert (stage.state("gate"), licensing.view("gate").tier) == (VALID, "postgres")
    assert set(stage.postgres.kept) == {evidence.subject, yard.subject}


async def test_a_tier_that_fails_is_tried_again_after_a_while(stage) -> None:
    stage.redis.is_down = True
    await stage.settled("gate")
    assert stage.connectivity.report()["redis"].up is False
    stage.redis.is_down = False
    await stage.licensing._keep()
    assert not stage.redis.kept
    stage.machine.advance(5 * SECOND)
    await stage.licensing._keep()
    assert stage.redis.kept
    assert stage.connectivity.report()["redis"].up is True


async def test_a_file_that_could_not_be_read_at_start_is_read_before_it_is_filled(stage, evidence) -> None:
    """Nobody else uses the file, so nobody tells that it is back."""
    stage.keep(stage.file, replace(evidence, verified_at=START - MINUTE))
    stage.keep(stage.postgres, replace(evidence, verified_at=START - HOUR))
    stage.file.is_down = True
    licensing = await stage.boot("gate")
    assert licensing.view("gate").tier == "postgres"
    stage.file.is_down = False
    await licensing._keep()
    assert stage.file.kept[evidence.subject][0].verified_at == START - MINUTE  # neither tried nor overwritten yet
    stage.machine.advance(5 * SECOND)
    await licensing._keep()
    view = licensing.view("gate")
    assert (view.tier, view.evidence.verified_at) == ("file", START - MINUTE)
    assert stage.file.kept[evidence.subject][0].verified_at == START - MINUTE
    assert stage.postgres.kept[evidence.subject][0].verified_at == START - MINUTE


async def test_a_file_that_was_away_at_start_is_read_even_if_it_lacks_nothing(stage, evidence) -> None:
    stage.keep(stage.file, replace(evidence, verified_at=START))
    stage.file.is_down = True
    licensing = await stage.boot("gate")
    stage.file.is_down = False
    stage.machine.advance(5 * SECOND)
    await licensing._keep()
    assert stage.state("gate") is VALID


class FullTier(MemoryEvidence):
    """Can be read, not written; counts how often it is read."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.reads = 0

    async def load_all(self):
        self.reads += 1
        return await super().load_all()

    async def save(self, evidence, sealed) -> None:
        raise UnavailableError("no space left on device")


async def test_while_a_tier_takes_nothing_it_is_not_read_over_and_over(stage) -> None:
    stage.file = FullTier("file")
    await stage.settled("gate")
    for _ in range(9):
        stage.machine.advance(5 * SECOND)
        await stage.licensing._keep()
    assert stage.connectivity.report()["file"].up is False
    assert stage.file.reads == 1


@pytest.mark.parametrize("cameras", [1, 40])
async def test_what_a_tier_missed_while_it_was_down_is_made_up_for(stage, cameras) -> None:
    await stage.boot()
    stage.file.is_down = stage.postgres.is_down = True
    for number in range(cameras):
        stage.licensing.register(CameraId(f"camera {number}"))
    await stage.licensing.refresh()
    await stage.licensing._keep()
    assert (len(stage.redis.kept), len(stage.postgres.kept)) == (cameras, 0)
    assert stage.connectivity.report()["file"].up is False
    stage.file.is_down = stage.postgres.is_down = False
    stage.machine.advance(5 * SECOND)
    await stage.licensing._keep()
    assert len(stage.file.kept) == len(stage.postgres.kept) == cameras


class PickyTier(MemoryEvidence):
    """Refuses one camera."""

    async def save(self, evidence, sealed) -> None:
        if evidence.subject.camera_id == "gate":
            raise RejectedError("not that one", code="picky")
        await super().save(evidence, sealed)


async def test_what_a_tier_refuses_is_not_tried_for_ever(stage) -> None:
    stage.postgres = PickyTier("postgres")
    await stage.settled("gate", "yard")
    assert [subject.camera_id for subject in stage.postgres.kept] == ["yard"]
    assert not stage.licensing._store._shelves[2].lacking


class SlowTier(MemoryEvidence):
    """Keeps nothing before ``gate`` is open."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.gate = asyncio.Event()
        self.waiting = False

    async def save(self, evidence, sealed) -> None:
        self.waiting = True
        await self.gate.wait()
        await super().save(evidence, sealed)


async def test_what_was_being_kept_when_the_agent_was_stopped_is_kept(stage, until) -> None:
    stage.postgres = SlowTier("postgres")
    await stage.boot("gate")
    async with stage.running():
        await until(lambda: stage.postgres.waiting)
    stage.postgres.gate.set()
    await stage.licensing.stop()
    assert stage.postgres.kept


class HungTier(MemoryEvidence):
    """Never answers."""

    async def load_all(self):
        await asyncio.Event().wait()


async def test_hung_tiers_cost_start_one_second_together(stage) -> None:
    await stage.settled("gate")
    stage.redis, stage.postgres = HungTier("redis"), HungTier("postgres")
    async with asyncio.timeout(1.9):
        await stage.boot()
    assert stage.state("gate") is VALID
    assert "1 s" in stage.connectivity.report()["postgres"].detail


async def test_evidence_that_fails_verification_is_a_miss_and_shown(stage, evidence) -> None:
    stage.file.kept[evidence.subject] = evidence, stage.sealer.seal(evidence).replace("base", "trial")
    await stage.boot("gate")
    assert (stage.state("gate"), stage.reason("gate")) == (EXPIRED, Reason.EVIDENCE_INVALID)
    stage.keep(stage.postgres, replace(evidence, verified_at=START))
    await stage.boot()
    assert stage.state("gate") is VALID


async def test_evidence_of_another_tenant_is_not_ours(stage, evidence) -> None:
    stage.keep(stage.file, replace(evidence, subject=replace(evidence.subject, tenant_id=TenantId("other"))))
    await stage.boot("gate")
    assert stage.reason("gate") is Reason.NO_LICENSE


async def test_a_file_copied_from_another_device_says_so(stage, evidence) -> None:
    other = replace(evidence.subject, device_id=DeviceId("box 2"))
    stage.keep(stage.file, replace(evidence, subject=other))
    await stage.boot("gate", "yard")
    assert [stage.reason(camera) for camera in ("gate", "yard")] == [Reason.MACHINE_MISMATCH] * 2
    stage.keep(stage.postgres, replace(evidence, verified_at=START))
    await stage.boot()
    assert (stage.state("gate"), stage.reason("yard")) == (VALID, Reason.NO_LICENSE)
    await stage.licensing._keep()
    stage.postgres.kept.clear()
    await stage.boot()
    assert (stage.state("gate"), stage.reason("yard")) == (VALID, Reason.NO_LICENSE)


async def test_evidence_of_other_devices_in_a_shared_tier_means_nothing(stage, evidence) -> None:
    other = replace(evidence.subject, device_id=DeviceId("box 2"))
    stage.keep(stage.postgres, replace(evidence, subject=other))
    await stage.boot("gate")
    assert stage.reason("gate") is Reason.NO_LICENSE


async def test_what_is_wrong_with_our_own_goes_before_what_is_another_devices(stage, evidence) -> None:
    other = replace(evidence.subject, device_id=DeviceId("box 2"))
    stage.keep(stage.file, replace(evidence, subject=other))
    stage.file.kept[evidence.subject] = evidence, "damaged"
    await stage.boot("gate", "yard")
    assert (stage.reason("gate"), stage.reason("yard")) == (Reason.EVIDENCE_INVALID, Reason.NO_LICENSE)


async def test_classic_durations_are_the_settings_of_today(stage, evidence) -> None:
    stage.keep(stage.file, replace(evidence, durations=Durations(freshness=300 * DAY)))
    stage.keep_lease(stage.file, stage.lease("yard", freshness=300 * DAY))
    stage.machine.advance(DAY)
    await stage.boot()
    assert (stage.state("gate"), stage.state("yard")) == (OFFLINE, VALID)


async def test_a_stamp_from_the_future_is_the_last_resort(stage, evidence) -> None:
    stage.keep(stage.file, replace(evidence, verified_at=START - HOUR))
    stage.keep(stage.postgres, replace(evidence, verified_at=START + 700 * DAY))
    await stage.clock.start()
    stage.clock.now()
    await stage.clock.persist()
    await stage.boot()
    assert stage.licensing.view("gate").evidence.verified_at == START - HOUR
    stage.file.kept.clear()
    await stage.boot()
    assert stage.licensing.view("gate").evidence.verified_at == START


async def test_without_a_mark_our_own_evidence_says_how_late_it_is(stage, evidence) -> None:
    """Mark deleted, wall clock turned back, no network: the license lives not a second longer."""
    await stage.settled("gate")
    stage.machine.advance(20 * DAY)
    stage.mark.mark = None
    stage.machine.reboot(wall=START - 90 * DAY)
    stage.billing.offline()
    await stage.boot()
    assert stage.clock.now() == START
    await stage.licensing.refresh()
    await stage.pass_time(8 * DAY)
    assert stage.state("gate") is EXPIRED


async def test_when_the_authority_turns_the_clock_back_evidence_is_stamped_anew(stage) -> None:
    stage.machine.set_wall(START + 700 * DAY, synchronized=True)
    stage.billing.answer("yard", replace(GOOD, server_time=START))
    await stage.settled("gate")
    assert stage.licensing.view("gate").evidence.verified_at == START + 700 * DAY
    stage.machine.set_wall(START, synchronized=False)
    await stage.licensing.validate("yard", wait=MINUTE)
    await stage.licensing.reevaluate()
    await stage.licensing._keep()
    assert stage.clock.now() == START
    assert stage.licensing.view("gate").evidence.verified_at == START
    assert stage.file.kept[replace(stage.tenant, camera_id=CameraId("gate"))][0].verified_at == START


async def test_a_roster_that_cannot_be_read_or_written_stops_nothing(stage) -> None:
    stage.roster.is_down = True
    await stage.settled("gate")
    assert stage.state("gate") is VALID
    assert stage.roster.cameras is None
    stage.roster.is_down = False
    await stage.licensing._keep()
    assert [camera.camera_id for camera in stage.roster.cameras] == ["gate"]
