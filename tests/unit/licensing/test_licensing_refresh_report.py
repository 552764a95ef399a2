"""Asking for all cameras in one call, where the service offers it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tapi_agent.domain.errors import IntegrityError, RejectedError, UnavailableError
from tapi_agent.domain.ids import TENANT
from tapi_agent.domain.license import LicenseMode, LicenseState, LicenseStatus
from tapi_agent.services.licensing.values import RefreshRound
from tapi_agent.testing.billing import GOOD, FakeBilling
from tapi_agent.testing.clock import START

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CAMERAS = [f"camera {number}" for number in range(250)]


class GatedReports(FakeBilling):
    """Its report comes when ``gate`` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.offer_report()
        self.gate = asyncio.Event()
        self.gate.set()

    async def license_report(self, tenant_id):
        report = await super().license_report(tenant_id)
        await self.gate.wait()
        return report


class GatedCalls(FakeBilling):
    """Its word on one camera comes when ``gate`` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def validate(self, subject, question):
        reply = await super().validate(subject, question)
        await self.gate.wait()
        return reply


async def introduced(stage, *cameras):
    """The service knows these cameras, and offers its report from now on."""
    await stage.settled(*cameras)
    stage.billing.offer_report()
    stage.billing.asked.clear()
    stage.billing.asked += [replace(stage.tenant, camera_id=camera) for camera in cameras]
    stage.billing.reports = 0
    return await stage.boot(*cameras)


def validated(stage, *known):
    return stage.asked()[len(known) :]


async def test_one_call_for_all(stage) -> None:
    licensing = await introduced(stage, *CAMERAS)
    before = licensing.view(CAMERAS[7]).evidence
    stage.machine.advance(MINUTE)
    done = await licensing.refresh()
    assert done == RefreshRound(cameras=250, answered=250, refused=0, unreachable=0)
    assert (stage.billing.reports, validated(stage, *CAMERAS)) == (1, [])
    assert {licensing.view(camera).evidence.verified_at for camera in CAMERAS} == {START + MINUTE}
    assert before.verified_at == START
    assert licensing.refresh_due() > 20 * MINUTE


async def test_cameras_the_report_does_not_mention_are_asked_about_alone(stage) -> None:
    licensing = await introduced(stage, "gate", "yard")
    licensing.register("new")
    assert (await licensing.refresh()).answered == 3
    assert (stage.billing.reports, validated(stage, "gate", "yard")) == (1, ["new"])
    assert stage.state("new") is VALID


async def test_a_single_camera_is_asked_about_alone(stage) -> None:
    licensing = await introduced(stage, "gate")
    await licensing.refresh()
    assert (stage.billing.reports, validated(stage, "gate")) == (0, ["gate"])


async def test_the_word_on_the_tenant_is_evidence_too_and_kept_fresh(stage) -> None:
    stage.billing.answer(TENANT, replace(GOOD, mode=LicenseMode.ENTERPRISE, cameras_allowed=2, server_time=START + DAY))
    licensing = await introduced(stage, "gate", "yard")
    await licensing.refresh()
    evidence = licensing.view(TENANT).evidence
    assert (evidence.subject, evidence.mode, evidence.verified_at) == (
        stage.tenant,
        LicenseMode.ENTERPRISE,
        START + DAY,
    )
    await licensing.stop()
    assert stage.file.kept[stage.tenant][0] == evidence
    await licensing.unregister("gate")
    stage.machine.advance(licensing.refresh_due())
    assert set(licensing._schedule.due()) == {TENANT, "yard"}
    await licensing._round(licensing._schedule.due())
    assert (stage.billing.reports, validated(stage, "gate", "yard")) == (2, [])


async def test_the_tenant_known_from_before_is_asked_about_by_the_report(stage, until) -> None:
    await (await introduced(stage, "gate", "yard")).refresh()
    await stage.licensing.stop()
    stage.billing.reports = 0
    await stage.boot()
    await stage.licensing.unregister("yard")
    async with stage.running():
        await until(lambda: stage.billing.reports)
    assert stage.licensing.view(TENANT).evidence


async def test_an_operator_who_asks_now_hears_of_the_tenant_too(stage) -> None:
    licensing = await introduced(stage, "gate", "yard")
    await licensing.refresh()
    await licensing.unregister("yard")
    stage.billing.answer(TENANT, replace(GOOD, cameras_allowed=2, sequence=2))
    assert await licensing.refresh() == RefreshRound(cameras=1, answered=1, refused=0, unreachable=0)
    assert licensing.view(TENANT).evidence.cameras_allowed == 2


async def test_not_offered_costs_one_request_a_day(stage) -> None:
    await stage.boot("gate", "yard")
    for _ in range(5):
        assert (await stage.licensing.refresh()).answered == 2
    assert (stage.billing.reports, len(stage.asked())) == (1, 10)
    stage.machine.advance(DAY)
    await stage.licensing.refresh()
    assert stage.billing.reports == 2


async def test_a_tenant_no_longer_spoken_of_is_no_longer_asked_about(stage) -> None:
    await (await introduced(stage, "gate", "yard")).refresh()
    stage.billing.offer_no_report()
    await stage.licensing.refresh()
    assert set(stage.licensing._schedule.subjects()) == {"gate", "yard"}
    assert stage.asked().count(TENANT) == 0


@pytest.mark.parametrize(
    "error", [IntegrityError("cut short"), RejectedError("405", code="bad_request")], ids=["malformed", "refused"]
)
async def test_a_report_that_is_no_answer_leaves_one_call_a_camera_in_that_round(stage, error) -> None:
    licensing = await introduced(stage, "gate", "yard")
    stage.billing.offer_report(error)
    assert (await licensing.refresh()).answered == 2
    assert (stage.billing.reports, validated(stage, "gate", "yard")) == (1, ["gate", "yard"])
    assert licensing.view(TENANT).problem == str(error)
    await licensing.refresh()
    assert (stage.billing.reports, len(validated(stage, "gate", "yard"))) == (2, 2)
    assert licensing.view(TENANT).problem is None


async def test_a_malformed_entry_is_no_answer_for_its_camera_only(stage) -> None:
    licensing = await introduced(stage, "gate", "yard", "dock")
    before = licensing.view("yard").evidence
    stage.billing.answer("yard", IntegrityError("mode is 7"))
    stage.machine.advance(MINUTE)
    done = await licensing.refresh()
    assert (done.answered, done.refused) == (2, 1)
    assert (licensing.view("yard").evidence, licensing.view("yard").problem) == (before, "mode is 7")
    assert (stage.state("yard"), licensing.view("gate").problem) == (VALID, None)
    assert validated(stage, "gate", "yard", "dock") == []


async def test_an_older_report_says_nothing(stage) -> None:
    stage.billing.answer(TENANT, replace(GOOD, sequence=7), replace(GOOD, sequence=6))
    licensing = await introduced(stage, "gate", "yard")
    await licensing.refresh()
    stage.billing.deny("gate")
    await licensing.refresh()
    assert "sequence 6" in licensing.view(TENANT).problem
    assert validated(stage, "gate", "yard") == ["gate", "yard"]


async def test_the_count_of_a_camera_goes_on_through_reports_that_number_none(stage) -> None:
    stage.billing.answer("gate", replace(GOOD, sequence=9))
    licensing = await introduced(stage, "gate", "yard")
    await licensing.refresh()
    assert licensing.view("gate").evidence.sequence == 9
    stage.billing.answer("gate", replace(GOOD, sequence=8, is_valid=False))
    await licensing.validate("gate", wait=MINUTE)
    assert (stage.state("gate"), "sequence 8" in licensing.view("gate").problem) == (VALID, True)


async def test_a_hung_service_costs_the_round_one_timeout(stage) -> None:
    stage.billing = FakeBilling(timeout=timedelta(milliseconds=50))
    licensing = await introduced(stage, *CAMERAS)
    stage.billing.slow()
    done = await licensing.refresh()
    assert done == RefreshRound(cameras=250, answered=0, refused=0, unreachable=250)
    assert (stage.billing.reports, validated(stage, *CAMERAS)) == (1, [])
    assert all(licensing.view(camera).problem for camera in CAMERAS)
    assert {stage.state(camera) for camera in CAMERAS} == {VALID}


async def test_after_a_failed_report_one_camera_tells_whether_the_service_is_back(stage) -> None:
    licensing = await introduced(stage, *CAMERAS)
    stage.billing.offline()
    await licensing.refresh()
    done = await licensing.refresh()
    assert (done.unreachable, stage.billing.reports, validated(stage, *CAMERAS)) == (1, 1, CAMERAS[:1])
    stage.billing.online()
    assert (await licensing.refresh()).answered == 250
    assert (stage.billing.reports, len(validated(stage, *CAMERAS))) == (2, 2)


async def test_a_report_that_alone_fails_does_not_keep_the_cameras_from_their_word(stage) -> None:
    licensing = await introduced(stage, *CAMERAS)
    stage.billing.offer_report(*[UnavailableError("501")] * 10)
    assert (await licensing.refresh()).unreachable == 250
    assert (await licensing.refresh()).answered == 250
    assert (stage.billing.reports, len(validated(stage, *CAMERAS))) == (2, 250)
    await licensing.refresh()
    assert stage.billing.reports == 2, "set aside for a day"


async def test_what_the_service_asks_for_in_refusing_the_report_holds_for_all(stage) -> None:
    licensing = await introduced(stage, "gate", "yard")
    stage.billing.offer_report(UnavailableError("429", retry_after=10 * MINUTE))
    await licensing.refresh()
    assert licensing.refresh_due() == 10 * MINUTE


async def test_a_denial_in_a_report_is_confirmed_after_a_minute(stage) -> None:
    licensing = await introduced(stage, "gate", "yard", "dock")
    await licensing.refresh()
    for camera in ("gate", "yard"):
        stage.billing.deny(camera)
    await licensing.refresh()
    assert (stage.state("gate"), licensing.refresh_due()) == (VALID, MINUTE)
    stage.machine.advance(59 * SECOND)
    await licensing.refresh()
    assert stage.state("gate") is VALID
    stage.machine.advance(SECOND)
    await licensing.refresh()
    assert [stage.state(camera) for camera in ("gate", "yard", "dock")] == [EXPIRED, EXPIRED, VALID]
    assert validated(stage, "gate", "yard", "dock") == []
    stage.billing.allow("gate")
    await licensing.refresh()
    assert stage.state("gate") is VALID


async def test_a_denial_of_the_tenant_is_confirmed_as_well(stage) -> None:
    licensing = await introduced(stage, "gate", "yard")
    await licensing.refresh()
    stage.billing.deny(TENANT, LicenseStatus.SUSPENDED)
    await licensing.refresh()
    assert (licensing.view(TENANT).evidence.denied, licensing.refresh_due()) == (None, MINUTE)
    stage.machine.advance(MINUTE)
    await licensing._round(licensing._schedule.due())
    assert licensing.view(TENANT).evidence.denied
    assert stage.state("gate") is VALID, "it has a word of its own"


async def test_who_asks_while_a_report_is_under_way_waits_for_its_word(stage, until) -> None:
    stage.billing = GatedReports()
    licensing = await introduced(stage, "gate", "yard")
    stage.billing.gate.clear()
    licensing.register("new")
    rounds = [asyncio.create_task(licensing.refresh()) for _ in range(2)]
    await until(lambda: stage.billing.reports)
    asking = [asyncio.create_task(licensing.validate(camera, wait=MINUTE)) for camera in ("gate", "new")]
    await asyncio.sleep(0)
    stage.billing.gate.set()
    await asyncio.gather(*rounds, *asking)
    assert (stage.billing.reports, validated(stage, "gate", "yard")) == (1, ["new"])


async def test_a_camera_being_asked_about_alone_gets_that_word(stage, until) -> None:
    stage.billing = GatedCalls()
    licensing = await introduced(stage, "gate", "yard")
    stage.billing.gate.clear()
    stage.machine.advance(MINUTE)
    alone = asyncio.create_task(licensing.validate("gate", wait=MINUTE))
    await until(lambda: validated(stage, "gate", "yard"))
    refresh = asyncio.create_task(licensing.refresh())
    await until(lambda: licensing.view("yard").evidence.verified_at == START + MINUTE)
    assert licensing.view("gate").evidence.verified_at == START
    for _ in range(10):  # the round comes to the camera that is left
        await asyncio.sleep(0)
    stage.billing.gate.set()
    await alone
    assert (await refresh).answered == 2
    assert validated(stage, "gate", "yard") == ["gate"]


async def test_who_waits_for_a_turn_behind_a_hung_service_does_not_ask_it_again(stage) -> None:
    stage.billing = FakeBilling(timeout=timedelta(milliseconds=50))
    await stage.boot(*CAMERAS)
    stage.billing.slow()
    await asyncio.gather(*(stage.licensing.validate(camera, wait=MINUTE) for camera in CAMERAS))
    assert len(stage.asked()) == 8
    assert all(stage.licensing.view(camera).problem for camera in CAMERAS)


async def test_unregistered_cameras_in_a_report_are_passed_over(stage) -> None:
    licensing = await introduced(stage, "gate", "yard", "elsewhere")
    await licensing.unregister("elsewhere")
    stage.machine.advance(MINUTE)
    await licensing.refresh()
    assert stage.licensing._store.get("elsewhere").evidence.verified_at == START


async def test_stopping_gives_up_a_report_under_way(stage, until) -> None:
    stage.billing = GatedReports()
    licensing = await introduced(stage, "gate", "yard")
    stage.billing.gate.clear()
    asking = asyncio.create_task(licensing.refresh())
    await until(lambda: stage.billing.reports)
    await licensing.stop()
    with pytest.raises(asyncio.CancelledError):
        await asking
