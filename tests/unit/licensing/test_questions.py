from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tapi_agent.domain.errors import InvalidInputError, UnavailableError
from tapi_agent.domain.ids import TENANT, CameraId
from tapi_agent.domain.license import LicenseState, Reason
from tapi_agent.domain.remedies import MEANINGS, REMEDIES
from tapi_agent.testing.clock import START

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
GATE = CameraId("gate")


@pytest.mark.parametrize("words", [MEANINGS, REMEDIES], ids=["meaning", "remedy"])
def test_every_reason_has_words(words) -> None:
    assert set(words) == set(Reason)
    assert all(words.values())


async def test_the_device_is_explained_by_its_worst_camera(stage) -> None:
    licensing = await stage.settled("gate")
    licensing.register(CameraId("shed"))
    assert licensing.questions.explain(None).view.camera_id == "shed"


async def test_without_cameras_the_device_is_the_tenant(stage) -> None:
    assert (await stage.boot()).questions.explain(None).view.camera_id == TENANT


async def test_what_is_explained_is_what_holds(stage) -> None:
    licensing = await stage.settled("gate")
    explained = licensing.questions.explain(GATE)
    assert (explained.row, explained.view.standing.state, explained.registered) == (9, VALID, True)
    stage.billing.offline()
    await licensing.refresh()
    await stage.pass_time(timedelta(days=2))
    assert (licensing.questions.explain(GATE).row, stage.state("gate")) == (7, GRACE)


async def test_without_evidence_it_is_row_1(stage) -> None:
    licensing = await stage.boot()
    explained = licensing.questions.explain(TENANT)
    assert (explained.row, explained.deadlines, explained.remedy) == (1, None, REMEDIES[Reason.NO_LICENSE])


async def test_a_lost_link_is_simulated_from_now_on(stage) -> None:
    licensing = await stage.settled("gate", "yard")
    simulation = await licensing.questions.simulate(None, offline=timedelta(days=45))
    assert [outlook.cameras for outlook in simulation.outlooks] == [("gate", "yard")]
    assert [span.state for span in simulation.outlooks[0].spans] == [VALID, OFFLINE, GRACE, EXPIRED]
    assert stage.state("gate") is VALID


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({}, "#/offline_s"),
        ({"offline": timedelta(1), "at": START + timedelta(1)}, "#/offline_s"),
        ({"at": START - timedelta(1)}, "#/at"),
        ({"at": datetime(2030, 1, 1)}, "#/at"),  # noqa: DTZ001 - that is the point
        ({"offline": timedelta(days=3651)}, "#/offline_s"),
    ],
    ids=["nothing", "both", "past", "no zone", "too far"],
)
async def test_what_cannot_be_simulated_is_refused(stage, asked, pointer) -> None:
    licensing = await stage.settled("gate")
    with pytest.raises(InvalidInputError) as refused:
        await licensing.questions.simulate(GATE, **asked)
    assert refused.value.pointer == pointer


async def test_history_is_the_log_and_says_when_it_is_down(stage) -> None:
    licensing = await stage.settled("gate")
    (edge,) = await licensing.questions.history(None, limit=5)
    assert (edge.subject.camera_id, edge.new) == ("gate", VALID)
    stage.log.is_down = True
    with pytest.raises(UnavailableError):
        await licensing.questions.history(GATE, limit=5)
