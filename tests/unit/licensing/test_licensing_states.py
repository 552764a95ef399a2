"""The states as cameras live through them: time, silence, denials, the camera limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tapi_agent.domain.errors import IntegrityError, InvalidInputError, RejectedError, UnavailableError
from tapi_agent.domain.ids import TENANT
from tapi_agent.domain.license import Camera, Flag, LicenseState, LicenseStatus, Reason
from tapi_agent.services.licensing import verdicts
from tapi_agent.testing.billing import GOOD
from tapi_agent.testing.clock import START

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
TICK = timedelta(microseconds=1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


async def test_without_cameras_there_is_no_license(stage) -> None:
    licensing = await stage.boot()
    device = licensing.device()
    assert (device.state, device.reason, sum(device.counts.values())) == (EXPIRED, Reason.NO_LICENSE, 0)
    assert licensing.started
    assert licensing.view(TENANT).evidence is None


async def test_the_first_answer_makes_it_valid(stage) -> None:
    licensing = await stage.boot("gate")
    assert stage.state("gate") is EXPIRED
    done = await licensing.refresh()
    assert (done.cameras, done.answered) == (1, 1)
    view = licensing.view("gate")
    assert (view.standing.state, view.tier, view.since, view.problem) == (VALID, "billing", START, None)
    assert stage.edges("gate") == ["expired>valid"]


async def test_a_month_of_silence_and_one_good_answer(stage) -> None:
    await stage.settled("gate")
    stage.billing.offline()
    await stage.licensing.refresh()
    lived = {}
    for deadline in (HOUR, DAY, 8 * DAY):
        await stage.pass_time(deadline - TICK - (stage.clock.now() - START))
        before = stage.state("gate")
        announced = stage.licensing.view("gate").standing.next_transition
        await stage.pass_time(TICK)
        assert (announced.at, announced.to) == (stage.clock.now(), stage.state("gate"))
        lived[deadline] = before, stage.state("gate")
    assert lived == {HOUR: (VALID, OFFLINE), DAY: (OFFLINE, GRACE), 8 * DAY: (GRACE, EXPIRED)}
    stage.billing.online()
    await stage.licensing.refresh()
    assert stage.state("gate") is VALID
    assert stage.edges("gate") == [
        "expired>valid",
        "valid>offline",
        "offline>grace",
        "grace>expired",
        "expired>valid",
    ]


async def test_since_is_when_the_state_was_entered(stage) -> None:
    await stage.settled("gate")
    stage.billing.offline()
    await stage.licensing.refresh()
    await stage.pass_time(2 * HOUR)
    await stage.pass_time(HOUR)
    assert stage.licensing.view("gate").since == START + 2 * HOUR


async def test_every_camera_has_its_own_life(stage) -> None:
    stage.billing.deny("yard")
    await stage.settled("gate", "yard")
    assert (stage.state("gate"), stage.state("yard")) == (VALID, EXPIRED)
    device = stage.licensing.device()
    assert (device.state, device.reason) == (EXPIRED, Reason.REVOKED)
    assert device.counts == {VALID: 1, OFFLINE: 0, GRACE: 0, EXPIRED: 1}


async def test_the_device_announces_its_next_change_for_the_worse(stage) -> None:
    stage.billing.answer("gate", replace(GOOD, valid_until=START + MINUTE))
    await stage.settled("gate", "yard")
    upcoming = stage.licensing.device().next_transition
    assert (upcoming.at, upcoming.to, upcoming.reason) == (START + MINUTE, GRACE, Reason.LICENSE_LAPSED)
    await stage.pass_time(MINUTE)
    assert stage.licensing.device().next_transition.to is EXPIRED


# --- lost ---


async def test_silence_counts_as_lost_after_a_minute(stage) -> None:
    await stage.settled("gate")
    stage.machine.reboot(off=2 * DAY)
    stage.machine.is_synchronized = True
    await stage.boot()
    assert (stage.state("gate"), stage.reason("gate")) == (OFFLINE, Reason.AUTHORITY_UNREACHABLE)
    await stage.pass_time(MINUTE - TICK)
    assert stage.state("gate") is OFFLINE
    await stage.pass_time(TICK)
    assert (stage.state("gate"), stage.reason("gate")) == (GRACE, Reason.OFFLINE_OVERRUN)


async def test_sleep_is_no_silence(stage) -> None:
    await stage.boot("gate")
    await stage.licensing.refresh()
    stage.licensing.resumed()
    stage.machine.suspend(2 * DAY)
    await stage.licensing.reevaluate()
    assert stage.state("gate") is OFFLINE
    await stage.pass_time(MINUTE)
    assert stage.state("gate") is GRACE


async def test_clock_steps_cannot_hold_off_lost_for_ever(stage) -> None:
    await stage.boot("gate")
    await stage.licensing.refresh()
    stage.machine.suspend(2 * DAY)
    for _ in range(4):
        stage.licensing.resumed()
        await stage.pass_time(MINUTE / 3)
    assert stage.state("gate") is GRACE


async def test_after_resume_every_camera_is_asked_for(stage) -> None:
    await stage.settled("gate")
    assert stage.licensing.refresh_due() > timedelta(0)
    stage.licensing.resumed()
    assert stage.licensing.refresh_due() == timedelta(0)


SILENCE = [
    pytest.param(UnavailableError("connection refused"), id="no connection"),
    pytest.param(UnavailableError("503", retry_after=MINUTE), id="503"),
    pytest.param(UnavailableError("401 unauthorized"), id="401"),
    pytest.param(UnavailableError("a login page"), id="captive portal"),
]
NO_ANSWER = [
    pytest.param(RejectedError("404 no such camera", code="not_found"), id="404"),
    pytest.param(IntegrityError("cut off"), id="malformed"),
    pytest.param(replace(GOOD, sequence=0), id="older sequence"),
]


@pytest.mark.parametrize("problem", SILENCE)
async def test_silence_is_not_no_and_is_an_attempt_for_every_camera(stage, problem) -> None:
    await stage.settled("gate", "yard")
    for camera in ("gate", "yard"):
        stage.billing.answer(camera, problem)
    done = await stage.licensing.refresh()
    assert done.unreachable == 2
    assert (stage.state("gate"), stage.state("yard")) == (VALID, VALID)
    assert stage.licensing.view("gate").problem == str(problem)
    assert stage.connectivity.report()["billing"].up is False


@pytest.mark.parametrize("problem", NO_ANSWER)
async def test_no_answer_for_one_camera_is_no_attempt_for_the_others(stage, problem) -> None:
    await stage.settled("gate", "yard")
    stage.billing.answer("gate", problem)
    done = await stage.licensing.refresh()
    assert (done.answered, done.refused) == (1, 1)
    assert stage.licensing.view("yard").problem is None
    assert stage.licensing.view("gate").problem
    assert stage.connectivity.report()["billing"].up is True
    await stage.pass_time(HOUR)
    assert (stage.state("gate"), stage.state("yard")) == (OFFLINE, VALID)


async def test_an_air_gapped_box_never_asks_and_is_granted_nothing(stage) -> None:
    await stage.settled("gate")
    stage.billing.asked.clear()
    licensing = await stage.boot("yard", ask=False)
    assert (await licensing.refresh()).cameras == 0
    await licensing.validate("yard", wait=MINUTE)
    assert stage.asked() == []
    assert licensing.refresh_due() == timedelta.max
    assert (stage.state("gate"), stage.reason("yard")) == (VALID, Reason.NO_LICENSE)
    await stage.pass_time(HOUR)
    assert (stage.state("gate"), stage.reason("gate")) == (OFFLINE, Reason.AIR_GAPPED)


async def test_bypass_lets_everything_pass_and_says_so(stage) -> None:
    await stage.boot("gate", bypass=True)
    device = stage.licensing.device()
    assert (device.state, device.flags) == (VALID, {Flag.BYPASSED})


# --- denials ---


async def test_a_denial_of_a_running_camera_is_heard_twice(stage) -> None:
    await stage.settled("gate")
    stage.billing.deny("gate")
    await stage.licensing.refresh()
    assert stage.state("gate") is VALID
    assert stage.licensing.refresh_due() == MINUTE
    stage.machine.advance(MINUTE - TICK)
    await stage.licensing.refresh()
    assert stage.state("gate") is VALID
    stage.machine.advance(TICK)
    await stage.licensing.refresh()
    assert (stage.state("gate"), stage.reason("gate")) == (EXPIRED, Reason.REVOKED)


async def test_a_denial_taken_back_within_the_minute_stops_nothing(stage) -> None:
    await stage.settled("gate")
    stage.billing.answer("gate", replace(GOOD, is_valid=False), GOOD, replace(GOOD, is_valid=False))
    for _ in range(3):
        await stage.licensing.refresh()
        stage.machine.advance(MINUTE / 2)
    assert stage.edges("gate") == ["expired>valid"]


async def test_a_camera_that_does_not_run_is_denied_at_once(stage) -> None:
    stage.billing.deny("gate", LicenseStatus.SUSPENDED)
    await stage.boot("gate")
    await stage.licensing.refresh()
    assert stage.reason("gate") is Reason.SUSPENDED


async def test_a_denial_stands_through_silence_and_restart_and_is_asked_about_again(stage) -> None:
    stage.billing.deny("gate")
    await stage.settled("gate")
    stage.billing.offline()
    await stage.boot()
    await stage.licensing.refresh()
    await stage.pass_time(400 * DAY)
    assert (stage.state("gate"), stage.reason("gate")) == (EXPIRED, Reason.REVOKED)
    assert stage.licensing.refresh_due() <= 15 * MINUTE
    stage.billing.online()
    stage.billing.answer("gate", replace(GOOD, sequence=3))
    await stage.licensing.refresh()
    assert stage.state("gate") is VALID


# --- camera limit and tenant ---


async def test_the_first_cameras_keep_working(stage) -> None:
    for camera in ("a", "b", "c"):
        stage.billing.answer(camera, replace(GOOD, cameras_allowed=2))
    await stage.boot("c")
    for camera in ("b", "a"):
        stage.machine.advance(MINUTE)
        stage.licensing.register(camera)
    await stage.licensing.refresh()
    assert [stage.state(camera) for camera in ("c", "b", "a")] == [VALID, VALID, EXPIRED]
    assert stage.reason("a") is Reason.CAMERA_LIMIT
    assert stage.edges("a") == []
    await stage.licensing.stop()
    await stage.boot()
    assert [stage.state(camera) for camera in ("c", "b", "a")] == [VALID, VALID, EXPIRED]


async def test_a_raised_limit_lets_the_others_in_at_once(stage) -> None:
    for camera in ("a", "b"):
        stage.billing.answer(camera, replace(GOOD, cameras_allowed=1))
    await stage.boot("a", "b")
    await stage.licensing.refresh()
    stage.machine.advance(MINUTE)
    stage.billing.answer("a", replace(GOOD, cameras_allowed=2))
    await stage.licensing.validate("a", wait=MINUTE)
    assert [stage.state(camera) for camera in ("a", "b")] == [VALID, VALID]


async def test_a_camera_without_a_word_of_its_own_has_the_tenants(stage, evidence) -> None:
    word = replace(evidence, subject=stage.tenant, cameras_allowed=2, verified_at=START)
    stage.keep(stage.file, word)
    await stage.boot("a", "b", "c")
    assert [stage.state(camera) for camera in ("a", "b", "c")] == [VALID, VALID, EXPIRED]
    assert stage.reason("c") is Reason.CAMERA_LIMIT
    assert stage.licensing.view("a").evidence == stage.licensing.view(TENANT).evidence == word
    assert stage.licensing.view("never seen").evidence == word


@pytest.mark.parametrize("camera", ["", "one\ntwo", "one\0two", "\ud800"], ids=ascii)
async def test_what_is_no_name_of_a_camera_is_refused(stage, camera) -> None:
    stage.roster.cameras = [Camera(camera_id=camera, registered_at=START, since=START)]
    await stage.boot()
    with pytest.raises(InvalidInputError):
        await stage.licensing.validate(camera)
    assert stage.licensing.cameras() == []


async def test_the_number_of_cameras_is_bounded(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "MOST_CAMERAS", 1)
    await stage.boot("gate")
    with pytest.raises(InvalidInputError, match="yard") as caught:
        stage.licensing.register("yard")
    assert "at most 1" in caught.value.fix
    stage.licensing.register("gate")
    assert stage.licensing.cameras() == ["gate"]


# --- generation ---


async def test_the_generation_rises_with_every_change_and_only_then(stage) -> None:
    licensing = await stage.boot()
    seen = []
    licensing.on_change(lambda: seen.append(licensing.generation))
    licensing.register("gate")
    await licensing.refresh()
    assert seen == sorted(set(seen))
    assert len(seen) >= 2
    before = licensing.generation
    await stage.pass_time(MINUTE)
    await licensing.reevaluate()
    assert licensing.generation == before
    stage.billing.offline()
    await licensing.refresh()
    await stage.pass_time(HOUR)
    assert licensing.generation > before
