"""Cameras come and go: taken up from elsewhere with their seniority, removed for good, whatever is under way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tapi_agent import telemetry
from tapi_agent.domain.errors import InvalidInputError, RejectedError
from tapi_agent.domain.license import LicenseState, LicenseStatus, Reason
from tapi_agent.services.licensing import verdicts
from tapi_agent.testing.billing import GOOD
from tapi_agent.testing.clock import START

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def limited(stage, *cameras: str, allowed: int) -> None:
    for camera in cameras:
        stage.billing.answer(camera, replace(GOOD, cameras_allowed=allowed))


def roster(stage) -> dict[str, object]:
    return {camera.camera_id: camera.registered_at for camera in stage.roster.cameras}


def gauge(state: LicenseState) -> float:
    return next(iter(telemetry.LICENSE_CAMERAS.labels(state=state).collect())).samples[0].value


async def test_cameras_from_elsewhere_keep_their_seniority(stage) -> None:
    licensing = await stage.boot("gate")
    licensing.take_up({"old": START - DAY, "older": START - 2 * DAY})
    assert licensing.cameras() == ["older", "old", "gate"]
    await licensing.refresh()
    assert [stage.state(camera) for camera in licensing.cameras()] == [VALID] * 3
    await licensing.stop()
    assert roster(stage) == {"older": START - 2 * DAY, "old": START - DAY, "gate": START}


async def test_of_two_registrations_the_earlier_counts(stage) -> None:
    limited(stage, "gate", "yard", allowed=1)
    licensing = await stage.boot("gate", "yard")
    await licensing.refresh()
    assert (stage.state("gate"), stage.reason("yard")) == (VALID, Reason.CAMERA_LIMIT)
    generation = licensing.generation
    licensing.take_up({"gate": START + DAY, "yard": START})
    assert (licensing.cameras(), licensing.generation) == (["gate", "yard"], generation)
    licensing.take_up({"yard": START - DAY})
    assert licensing.cameras() == ["yard", "gate"]
    assert (stage.state("yard"), stage.reason("gate")) == (VALID, Reason.CAMERA_LIMIT)
    assert licensing.generation > generation
    await licensing.stop()
    assert roster(stage) == {"yard": START - DAY, "gate": START}


async def test_what_cannot_be_registered_keeps_nobody_out(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "MOST_CAMERAS", 2)
    licensing = await stage.boot()
    licensing.take_up({"": START, "a\nb": START, "one": START, "two": START, "three": START, "one more": START})
    assert licensing.cameras() == ["one", "two"]


async def test_a_name_can_be_checked_before(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "MOST_CAMERAS", 1)
    licensing = await stage.boot("gate")
    licensing.check("gate")
    for refused in ("yard", ""):
        with pytest.raises(InvalidInputError):
            licensing.check(refused)


async def test_removing_a_camera_frees_its_place(stage) -> None:
    limited(stage, "gate", "yard", allowed=1)
    licensing = await stage.boot("gate", "yard")
    await licensing.refresh()
    assert stage.reason("yard") is Reason.CAMERA_LIMIT
    generation = licensing.generation
    assert await licensing.unregister("gate") is True
    assert licensing.cameras() == ["yard"]
    assert stage.state("yard") is VALID
    assert licensing.generation > generation
    assert licensing.device().counts[VALID] == 1


async def test_the_gauge_follows_whoever_comes_and_goes(stage) -> None:
    await stage.settled("gate", "yard")
    assert (gauge(VALID), gauge(EXPIRED)) == (2, 0)
    stage.licensing.register("new")
    assert (gauge(VALID), gauge(EXPIRED)) == (2, 1)
    for camera in ("gate", "new", "yard"):
        await stage.licensing.unregister(camera)
    assert [gauge(state) for state in LicenseState] == [0, 0, 0, 0]


async def test_removing_is_on_disk_when_it_returns(stage) -> None:
    await stage.settled("gate", "yard")
    await stage.licensing.unregister("gate")
    assert list(roster(stage)) == ["yard"]
    assert (await stage.boot()).cameras() == ["yard"]


async def test_the_last_camera_stays_away_too(stage) -> None:
    await stage.settled("gate")
    await stage.licensing.unregister("gate")
    assert stage.file.kept
    assert (await stage.boot()).cameras() == []
    assert stage.licensing.device().counts[VALID] == 0


async def test_an_unknown_camera_is_not_removed(stage) -> None:
    licensing = await stage.boot("gate")
    assert await licensing.unregister("yard") is False
    assert licensing.cameras() == ["gate"]


async def test_a_full_disk_does_not_keep_a_camera(stage) -> None:
    await stage.settled("gate", "yard")
    stage.roster.is_down = True
    assert await stage.licensing.unregister("gate") is True
    assert stage.licensing.cameras() == ["yard"]
    assert stage.connectivity.report()["file"].up is False
    stage.roster.is_down = False
    await stage.licensing.stop()
    assert list(roster(stage)) == ["yard"]


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        replace(GOOD, is_valid=False, status=LicenseStatus.REVOKED, sequence=9),
        RejectedError("unknown", code="not_found"),
    ],
    ids=["yes", "no", "no answer"],
)
async def test_a_word_that_comes_after_the_removal_brings_nothing_back(stage, until, answer) -> None:
    licensing = await stage.settled("gate")
    stage.billing.answer("gate", answer)
    stage.billing.slow()
    asked = len(stage.billing.asked)
    round_of_asking = asyncio.create_task(licensing.refresh())
    await until(lambda: len(stage.billing.asked) > asked)
    await licensing.unregister("gate")
    stage.billing.online()
    assert (await round_of_asking).answered == 1
    assert licensing.cameras() == []
    assert licensing.refresh_due() == timedelta.max
    assert licensing.view("gate").problem is None


async def test_an_edge_that_was_not_written_yet_can_be_written_after_the_removal(stage) -> None:
    stage.log.is_down = True
    await stage.settled("gate")
    await stage.licensing.unregister("gate")
    stage.log.is_down = False
    await stage.licensing.reevaluate()
    assert [edge.subject.camera_id for edge in stage.log.edges.values()] == ["gate"]
    assert stage.licensing.cameras() == []


async def test_a_camera_that_comes_back_starts_anew_with_the_evidence_there_is(stage) -> None:
    licensing = await stage.settled("gate")
    await licensing.unregister("gate")
    stage.machine.advance(MINUTE)
    licensing.register("gate")
    assert stage.state("gate") is VALID
    await licensing.stop()
    assert roster(stage) == {"gate": START + MINUTE}
