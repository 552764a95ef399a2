"""Asking on a box that trusts a key: a lease is the answer, and nothing else is."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, LicenseState, LicenseStatus
from tapi_agent.testing.billing import GOOD
from tapi_agent.testing.clock import START

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
MARKS = {"disk": "d", "dmi": "m", "mac": "c"}


def signs(stage, camera=None, **contents):
    """The service answers with such leases from now on; ``contents`` may overrule what is right."""
    stage.lease()

    def sign(subject, question):
        said = {"nonce": question.nonce, "issued": stage.machine.wall(), "components": question.components, **contents}
        return stage.leases.issue(stage.lease(subject.camera_id if camera is None else camera, **said))

    stage.billing.sign(sign)


async def signed(stage, *cameras, **contents):
    """Booted, with a lease for every camera."""
    signs(stage, **{"sequence": 5, **contents})
    await stage.boot(*cameras)
    await stage.licensing.refresh()
    return stage.licensing


def as_it_stands(stage, camera):
    view = stage.licensing.view(CameraId(camera))
    return view.evidence, view.tier, view.standing.state


async def test_a_lease_that_answers_the_question_is_evidence(stage) -> None:
    licensing = await signed(stage, "gate", mode=LicenseMode.ENTERPRISE, issued=START + HOUR)
    view = licensing.view("gate")
    assert (view.evidence.signed, view.evidence.mode, view.tier) == (True, LicenseMode.ENTERPRISE, "billing")
    assert (view.evidence.verified_at, view.standing.state) == (START + HOUR, VALID)
    await licensing.stop()
    evidence, text = stage.file.kept[replace(stage.tenant, camera_id="gate")]
    assert (evidence, text) == (view.evidence, list(stage.leases._issued)[-1])


async def test_every_question_has_a_nonce_of_its_own_and_says_what_is_known(stage) -> None:
    stage.parts.parts = dict(MARKS)
    signs(stage, sequence=5)
    stage.build()
    stage.licensing._hearing._answers._entropy = os.urandom
    await stage.clock.start()
    stage.machine.set_wall(START + MINUTE)
    stage.licensing.register("gate")
    for _ in range(3):
        await stage.licensing.refresh()
    questions = stage.billing.questions
    assert len({question.nonce for question in questions}) == 3
    assert all(len(bytes.fromhex(question.nonce)) == 16 for question in questions)
    assert [question.sequence for question in questions] == [0, 5, 5]
    assert {question.wall for question in questions} == {START + MINUTE}
    assert questions[0].components == MARKS


async def test_without_a_key_there_is_no_nonce_and_a_lease_is_ignored(stage) -> None:
    stage.billing.answer("gate", replace(GOOD, lease="whatever"))
    await stage.boot("gate")
    await stage.licensing.refresh()
    assert stage.billing.questions[0].nonce is None
    assert (stage.state("gate"), stage.licensing.view("gate").evidence.signed) == (VALID, False)


async def test_camera_by_camera_since_a_report_cannot_be_signed(stage) -> None:
    stage.billing.offer_report()
    licensing = await signed(stage, "gate", "yard", "dock")
    assert (await licensing.refresh()).answered == 3
    assert (stage.billing.reports, len(stage.asked())) == (0, 6)


NO_ANSWER = {
    "no lease": (None, "unsigned reply while a key is trusted"),
    "not genuine": ("garbage", "signature"),
    "unknown key": ({"key_id": "k2"}, "k2"),
    "another nonce": ({"nonce": "00" * 16}, "another request"),
    "no nonce": ({"nonce": None}, "another request"),
    "another camera": ({"camera": "yard"}, "camera yard"),
    "the tenant's": ({"camera": ""}, "the tenant"),
    "another device": ({"device_id": DeviceId("other")}, "device other"),
    "another tenant": ({"tenant_id": TenantId("other")}, "tenant other"),
    "another machine": ({"components": dict.fromkeys(MARKS, "other")}, "another machine"),
    "lower sequence": ({"sequence": 4, "issued": START + HOUR}, "older than what is known"),
    "equal sequence, issued before": ({"sequence": 5, "issued": START - SECOND}, "older than what is known"),
}


@pytest.mark.parametrize(("contents", "says"), NO_ANSWER.values(), ids=NO_ANSWER)
async def test_what_is_no_answer_changes_nothing_and_says_why(stage, contents, says) -> None:
    stage.parts.parts = dict(MARKS)
    licensing = await signed(stage, "gate", "yard")
    before = as_it_stands(stage, "gate"), as_it_stands(stage, "yard"), stage.clock.now()
    keys = stage.leases.key_ids
    if contents is None:
        stage.billing.answer("gate", replace(GOOD, is_valid=False, server_time=START + 99 * HOUR))
        stage.billing.sign(lambda *_: "")
    elif contents == "garbage":
        stage.billing.sign(lambda *_: "garbage")
    else:
        signs(stage, **{"sequence": 5, "status": LicenseStatus.REVOKED, **contents})
        stage.leases.issue(stage.lease(**{name: word for name, word in contents.items() if name == "key_id"}))
        stage.leases.key_ids = keys
        inner = stage.billing._sign

        def keep_keys(subject, question):
            text = inner(subject, question)
            stage.leases.key_ids = keys
            return text

        stage.billing.sign(keep_keys)
    await licensing.validate("gate", wait=MINUTE)
    assert says in licensing.view("gate").problem
    assert (as_it_stands(stage, "gate"), as_it_stands(stage, "yard"), stage.clock.now()) == before


@pytest.mark.parametrize(
    ("sequence", "later"), [(5, SECOND), (5, timedelta(0)), (6, -SECOND)], ids=["equal, later", "the same", "newer"]
)
async def test_equal_and_newer_is_accepted(stage, sequence, later) -> None:
    licensing = await signed(stage, "gate")
    signs(stage, sequence=sequence, issued=START + later, mode=LicenseMode.TRIAL)
    await licensing.refresh()
    assert licensing.view("gate").evidence.mode is LicenseMode.TRIAL
    assert licensing.view("gate").problem is None


@pytest.mark.parametrize("status", [LicenseStatus.REVOKED, LicenseStatus.SUSPENDED])
async def test_a_signed_denial_counts_at_once_and_recovery_too(stage, status) -> None:
    licensing = await signed(stage, "gate")
    signs(stage, sequence=6, status=status)
    await licensing.refresh()
    assert stage.state("gate") is EXPIRED
    signs(stage, sequence=7)
    await licensing.refresh()
    assert stage.state("gate") is VALID


async def test_signed_replaces_classic_at_once(stage, evidence) -> None:
    stage.keep(stage.file, replace(evidence, sequence=99, verified_at=START))
    licensing = await signed(stage, "gate")
    assert (licensing.view("gate").evidence.signed, licensing.view("gate").evidence.sequence) == (True, 5)


async def test_stored_classic_evidence_runs_out_its_deadlines(stage, evidence) -> None:
    stage.keep(stage.file, replace(evidence, verified_at=START))
    stage.lease()
    await stage.boot("gate")
    for hours, state in [(0, VALID), (2, OFFLINE), (25, GRACE), (8 * 24 + 1, EXPIRED)]:
        await stage.pass_time(START + hours * HOUR - stage.clock.now())
        await stage.licensing.refresh()
        assert stage.state("gate") is state
    assert "unsigned" in stage.licensing.view("gate").problem


@pytest.mark.parametrize("off", [99 * HOUR, -99 * HOUR], ids=["ahead", "behind"])
async def test_the_time_of_a_live_lease_is_the_authority_s(stage, off) -> None:
    await signed(stage, "gate", issued=START + off)
    assert stage.clock.now() == START + off
    assert stage.state("gate") is VALID


async def test_an_unsigned_time_counts_for_nothing(stage) -> None:
    stage.billing.answer("gate", replace(GOOD, server_time=START + 99 * HOUR))
    await signed(stage, "gate")
    assert stage.clock.now() == START


async def test_drift_is_told_once_and_gone_with_the_next_lease(stage) -> None:
    stage.parts.parts = dict(MARKS)
    licensing = await signed(stage, "gate", "yard")
    stage.parts.parts["mac"] = "new"
    with capture_logs() as logs:
        signs(stage, sequence=5, components=MARKS)
        for _ in range(2):
            await licensing.refresh()
    assert [line["parts"] for line in logs if line["event"] == "license.machine_drifted"] == [("mac",)]
    assert (licensing.device().drifted, stage.state("gate")) == (["mac"], VALID)
    signs(stage, sequence=5)
    await licensing.refresh()
    assert stage.billing.questions[-1].components["mac"] == "new"
    assert licensing.device().drifted == []


async def test_the_same_lack_of_an_answer_is_logged_once(stage) -> None:
    licensing = await signed(stage, "gate")
    stage.billing.sign(lambda *_: "")
    with capture_logs() as logs:
        for _ in range(3):
            await licensing.refresh()
    [line] = [line for line in logs if line["event"] == "license.no_answer"]
    assert "TRUSTED_KEYS" in line["fix"]


async def test_a_lease_of_the_tenant_is_kept_fresh_too(stage) -> None:
    stage.keep_lease(stage.file, stage.lease(sequence=5))
    signs(stage, sequence=6)
    await stage.boot("gate")
    await stage.licensing._round(stage.licensing._schedule.due())
    assert sorted(stage.asked()) == ["", "gate"]
    assert stage.licensing.view(TENANT).evidence.sequence == 6


async def test_an_imported_lease_of_the_tenant_is_asked_about_from_then_on(stage) -> None:
    await signed(stage, "gate")
    await stage.licensing.import_(stage.leases.issue(stage.lease(sequence=5)))
    assert stage.licensing._schedule.due() == [TENANT]


async def test_asked_now_the_service_tells_of_a_higher_limit_of_the_tenant_at_once(stage) -> None:
    stage.keep_lease(stage.file, stage.lease(cameras_allowed=1, sequence=1))
    signs(stage, sequence=2, cameras_allowed=2)
    licensing = await stage.boot("gate", "yard")
    await licensing.refresh()
    stage.machine.advance(MINUTE)
    signs(stage, sequence=3, cameras_allowed=3)
    done = await licensing.refresh()
    assert (done.cameras, done.answered) == (2, 2)
    assert licensing.view(TENANT).evidence.cameras_allowed == 3


async def test_a_tenant_without_an_answer_is_no_camera_without_one(stage) -> None:
    stage.keep_lease(stage.file, stage.lease())
    licensing = await stage.boot("gate")
    stage.billing.offline()
    done = await licensing.refresh()
    assert (done.cameras, done.unreachable) == (1, 1)
    assert licensing.view(TENANT).problem


async def test_a_lease_of_the_tenant_from_a_tier_that_comes_back_is_kept_fresh_too(stage) -> None:
    stage.keep_lease(stage.postgres, stage.lease(sequence=5))
    stage.postgres.is_down = True
    await signed(stage, "gate")
    stage.postgres.is_down = False
    stage.machine.advance(5 * SECOND)
    await stage.licensing._keep()
    assert TENANT in stage.licensing._schedule.due()
