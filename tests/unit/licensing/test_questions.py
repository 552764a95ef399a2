from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tapi_agent.domain.errors import InvalidInputError, RejectedError, UnavailableError
from tapi_agent.domain.ids import TENANT, CameraId
from tapi_agent.domain.license import LicenseState, Reason
from tapi_agent.domain.remedies import REMEDIES
from tapi_agent.testing.clock import START

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
GATE = CameraId("gate")


async def test_the_device_is_explained_by_its_worst_camera(stage) -> None:
    licensing = await stage.settled("gate")
    licensing.register(CameraId("shed"))
    assert licensing.questions.explain(None).view.camera_id == "shed"


async def test_without_cameras_the_device_is_the_tenant(stage) -> None:
    assert (await stage.boot()).questions.explain(None).view.camera_id == TENANT


async def test_what_is_explained_is_what_holds(stage) -> None:
    licensing = await stage.settled("gate")
    explained = licensing.questions.explain(GATE)
    assert (explained.rule.row, explained.view.standing.state, explained.registered) == (9, VALID, True)
    stage.billing.offline()
    await licensing.refresh()
    await stage.pass_time(timedelta(days=2))
    assert (licensing.questions.explain(GATE).rule.row, stage.state("gate")) == (7, GRACE)


async def test_without_evidence_it_is_row_1(stage) -> None:
    licensing = await stage.boot()
    explained = licensing.questions.explain(TENANT)
    assert (explained.rule.row, explained.deadlines, explained.remedy) == (1, None, REMEDIES[Reason.NO_LICENSE])


async def test_a_bypassed_box_says_so(stage) -> None:
    licensing = await stage.boot("gate", bypass=True)
    explained = licensing.questions.explain(GATE)
    assert (explained.rule.row, explained.missing) == (None, Reason.NO_LICENSE)
    assert explained.meaning == "gate works: BYPASS_LICENSE_CHECK is set (development)"


async def test_what_is_wrong_with_stored_evidence_is_said(stage) -> None:
    stage.keep_lease(stage.file, stage.lease("gate", key_id="k9"))
    stage.leases.key_ids = ("k1",)
    licensing = await stage.boot("gate")
    explained = licensing.questions.explain(GATE)
    assert (explained.missing, explained.rule.row) == (Reason.KEY_UNKNOWN, 1)
    assert explained.rule.holds.endswith(": what was stored is signed by a key that is not trusted here")


async def test_only_registered_cameras_and_the_tenant_are_simulated(stage) -> None:
    licensing = await stage.settled("gate")
    await licensing.questions.simulate(TENANT, offline=timedelta(1))
    with pytest.raises(RejectedError) as refused:
        await licensing.questions.simulate(CameraId("shed"), offline=timedelta(1))
    assert refused.value.code == "camera_unknown"


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
        ({"offline": timedelta(-1)}, "#/offline_s"),
        ({"at": START + timedelta(days=3651)}, "#/at"),
    ],
    ids=["nothing", "both", "past", "no zone", "too long", "negative", "too far"],
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
