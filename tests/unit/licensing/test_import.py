"""Air gap: a request, its answer carried here in a file, and every way in which that answer is not one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tapi_agent.domain.errors import IntegrityError, UnavailableError
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.lease import LeaseRefusedError
from tapi_agent.domain.license import LicenseState, LicenseStatus, Reason
from tapi_agent.testing.clock import START
from tapi_agent.testing.licenses import MemoryRequest

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PARTS = {"dmi_serial": "a" * 64, "mac_1": "b" * 64, "disk": "c" * 64}


@pytest.fixture
async def box(stage):
    """An air-gapped box with two cameras, all other tiers down."""
    stage.leases.key_ids = ("k1",)
    stage.parts.parts = PARTS
    stage.redis.is_down = stage.postgres.is_down = True
    await stage.boot("gate", "yard", ask=False)
    return stage


def answer(stage, *cameras: str, **contents: object) -> str:
    """The answer to the open request, if there is one."""
    opened = stage.licensing.device().open_request
    holding = {"nonce": opened.nonce if opened else None, "components": dict(stage.parts.parts), **contents}
    return "\n".join(stage.leases.issue(stage.lease(camera, **holding)) for camera in cameras)


def held(stage, camera: str):
    one = stage.licensing._store.get(CameraId(camera))
    return one and (one.word.sequence, one.word.verified_at)


def on_disk(stage) -> set[str]:
    return {subject.camera_id for subject in stage.file.kept}


async def test_what_a_file_held_that_could_not_be_read_at_start_is_not_written_over_unseen(box) -> None:
    box.keep_lease(box.file, box.lease("gate", sequence=9, components=PARTS))
    box.file.is_down = True
    await box.boot("gate", "yard")
    box.file.is_down = False
    with pytest.raises(LeaseRefusedError, match="older than what is known"):
        await box.licensing.import_(answer(box, "gate", sequence=8))
    assert held(box, "gate") == (9, START)
    assert box.state("gate") is VALID


# --- the request ---


async def test_a_request_says_who_asks_and_what_is_known(box) -> None:
    await box.licensing.import_(answer(box, "gate", "", sequence=7))
    box.machine.set_wall(START + HOUR)
    request = await box.licensing.request()
    assert request.tenant == box.tenant
    assert (len(request.nonce), int(request.nonce, 16) >= 0) == (32, True)
    assert request.components == PARTS
    assert request.sequences == {"gate": 7, "yard": 0}
    assert request.sequence == 7
    assert (request.wall, request.trusted) == (START + HOUR, box.clock.now())


async def test_a_camera_without_a_lease_of_its_own_has_no_sequence(stage, evidence) -> None:
    """Which a classic service numbers too: the authority makes leases for those cameras only that had one."""
    stage.keep(stage.file, replace(evidence, verified_at=START, sequence=7))
    stage.keep(stage.file, replace(evidence, subject=stage.tenant, verified_at=START, sequence=8))
    stage.keep_lease(stage.file, stage.lease("yard", sequence=9))
    await stage.boot("gate", "yard", "hall")
    request = await stage.licensing.request()
    assert (request.sequences, request.sequence) == ({"gate": 0, "yard": 9, "hall": 0}, 0)


async def test_the_open_request_survives_a_restart(box) -> None:
    request = await box.licensing.request()
    await box.boot()
    assert box.licensing.device().open_request.nonce == request.nonce
    with pytest.raises(LeaseRefusedError, match="does not answer the open request"):
        await box.licensing.import_(answer(box, "gate", nonce="0" * 32))


async def test_a_new_request_takes_the_place_of_the_old(box) -> None:
    box.build()
    nonces = iter((b"1" * 16, b"2" * 16))
    box.licensing._requests._around = replace(box.licensing._around, entropy=lambda _: next(nonces))
    first = await box.licensing.request()
    late = answer(box, "gate")
    second = await box.licensing.request()
    assert first.nonce != second.nonce
    with pytest.raises(LeaseRefusedError, match="does not answer"):
        await box.licensing.import_(late)
    await box.licensing.import_(answer(box, "gate"))
    assert held(box, "gate") == (0, START)


async def test_a_withdrawn_request_awaits_nothing(box) -> None:
    await box.licensing.request()
    assert await box.licensing.withdraw() is True
    assert await box.licensing.withdraw() is False
    assert box.request.open is None
    await box.licensing.import_(answer(box, "gate"))
    assert box.state("gate") is VALID


async def test_a_request_that_cannot_be_kept_is_not_made(box) -> None:
    before = await box.licensing.request()
    box.request.is_down = True
    with pytest.raises(UnavailableError):
        await box.licensing.request()
    assert box.licensing.device().open_request.nonce == before.nonce


class DamagedRequest(MemoryRequest):
    """As a file changed by hand."""

    async def load(self):
        raise IntegrityError("changed by hand")


async def test_a_damaged_request_counts_as_none(box) -> None:
    box.request = DamagedRequest()
    await box.boot()
    assert box.licensing.device().open_request is None


# --- the import ---


async def test_an_answer_makes_the_box_valid_and_it_stays_so_over_a_restart(box) -> None:
    await box.licensing.request()
    report = await box.licensing.import_(answer(box, "gate", "yard"))
    assert report.answered
    assert [(one.before.reason, one.after.state, one.is_new) for one in report.leases] == [
        (Reason.NO_LICENSE, VALID, True)
    ] * 2
    assert (box.state("gate"), box.state("yard")) == (VALID, VALID)
    assert on_disk(box) == {"gate", "yard"}
    assert box.licensing.device().open_request is box.request.open is None
    await box.boot()
    assert (box.state("gate"), box.licensing.view("gate").tier) == (VALID, "file")
    await box.pass_time(2 * HOUR)
    assert (box.state("gate"), box.reason("gate")) == (OFFLINE, Reason.AIR_GAPPED)


async def test_a_lease_of_the_tenant_is_enough_for_every_camera(box) -> None:
    await box.licensing.import_(answer(box, TENANT))
    assert (box.state("gate"), box.state("yard")) == (VALID, VALID)


async def test_an_import_announces_its_edges(box) -> None:
    await box.licensing.import_(answer(box, "gate"))
    await box.licensing.stop()
    assert box.edges("gate") == ["expired>valid"]


async def test_it_works_in_an_online_box_too_and_replaces_classic_evidence(stage) -> None:
    stage.parts.parts = PARTS
    await stage.settled("gate")
    stage.leases.key_ids = ("k1",)
    await stage.licensing.import_(answer(stage, "gate", issued=START - DAY))
    assert stage.licensing.view("gate").evidence.signed


async def test_a_dry_run_says_all_and_changes_nothing(box) -> None:
    await box.licensing.request()
    before = box.licensing.device()
    report = await box.licensing.import_(answer(box, "gate", issued=START + DAY), dry_run=True)
    (lease,) = report.leases
    assert (report.dry_run, lease.before.state, lease.after.state) == (True, EXPIRED, VALID)
    assert lease.after.next_transition.at == START + DAY + HOUR
    assert (held(box, "gate"), on_disk(box), box.licensing.device()) == (None, set(), before)
    assert box.clock.now() == START


async def test_the_verdict_of_a_denial_is_shown_before_it_is_taken_over(box) -> None:
    await box.licensing.import_(answer(box, "gate"))
    file = answer(box, "gate", sequence=1, status=LicenseStatus.REVOKED)
    (lease,) = (await box.licensing.import_(file, dry_run=True)).leases
    assert (lease.before.state, lease.after.reason) == (VALID, Reason.REVOKED)
    await box.licensing.import_(file)
    assert box.reason("gate") is Reason.REVOKED


@pytest.mark.parametrize(
    ("contents", "reason", "said"),
    [
        ({"device_id": DeviceId("box 2")}, Reason.MACHINE_MISMATCH, "box 2"),
        ({"components": dict.fromkeys(PARTS, "f" * 64)}, Reason.MACHINE_MISMATCH, "another machine"),
        ({"tenant_id": TenantId("rival")}, Reason.EVIDENCE_INVALID, "rival"),
        ({"key_id": "other"}, Reason.KEY_UNKNOWN, "other"),
        ({"nonce": None}, Reason.EVIDENCE_INVALID, "open request"),
        ({"nonce": "0" * 32}, Reason.EVIDENCE_INVALID, "open request"),
    ],
    ids=["device", "machine", "tenant", "key", "no nonce", "another nonce"],
)
async def test_one_bad_lease_refuses_the_file_and_says_which_and_why(box, contents, reason, said) -> None:
    await box.licensing.request()
    file = answer(box, "gate") + answer(box, "yard", **contents)
    box.leases.key_ids = ("k1",)
    for dry_run in (True, False):
        with pytest.raises(LeaseRefusedError, match=rf"^lease 2 of 2: .*{said}") as caught:
            await box.licensing.import_(file, dry_run=dry_run)
        assert (caught.value.reason, bool(caught.value.fix) or said in {"another machine", "other"}) == (reason, True)
    assert (held(box, "gate"), on_disk(box), box.state("gate")) == (None, set(), EXPIRED)
    assert box.licensing.device().open_request is not None


@pytest.mark.parametrize(
    "text", ["", "\n", "no lease", "-----BEGIN MACHINE FILE-----\n9\n-----END MACHINE FILE-----\n", "\0" * 9]
)
async def test_what_is_no_lease_is_refused(box, text) -> None:
    with pytest.raises(LeaseRefusedError) as caught:
        await box.licensing.import_(text)
    assert caught.value.reason is Reason.EVIDENCE_INVALID


OLDER = pytest.mark.parametrize(
    ("known", "offered", "accepted"),
    [
        ({"sequence": 2, "issued": START}, {"sequence": 1, "issued": START + HOUR}, False),
        ({"sequence": 2, "issued": START}, {"sequence": 2, "issued": START - HOUR}, False),
        ({"sequence": 2, "issued": START}, {"sequence": 2, "issued": START}, True),
        ({"sequence": 2, "issued": START}, {"sequence": 2, "issued": START + HOUR}, True),
        ({"sequence": 2, "issued": START}, {"sequence": 3, "issued": START - HOUR}, True),
    ],
    ids=["older sequence", "same sequence issued before", "the same", "same sequence issued later", "newer sequence"],
)


@OLDER
async def test_what_is_older_than_what_is_held_is_refused(box, known, offered, accepted) -> None:
    await box.licensing.import_(answer(box, "gate", **known))
    file = answer(box, "gate", **offered)
    if accepted:
        await box.licensing.import_(file)
        assert held(box, "gate") == (offered["sequence"], offered["issued"])
    else:
        with pytest.raises(LeaseRefusedError, match="camera gate is older"):
            await box.licensing.import_(file)
        assert held(box, "gate") == (known["sequence"], known["issued"])


@OLDER
async def test_likewise_within_one_file(box, known, offered, accepted) -> None:
    file = answer(box, "gate", **known) + answer(box, "gate", **offered)
    if accepted:
        await box.licensing.import_(file)
        assert held(box, "gate") == (offered["sequence"], offered["issued"])
        assert [text for _, text in box.file.kept.values()] == [box.leases.split(file)[1]]
    else:
        with pytest.raises(LeaseRefusedError, match=r"lease 2 of 2: .* is older"):
            await box.licensing.import_(file)


async def test_the_same_file_again_changes_nothing(box) -> None:
    file = answer(box, "gate")
    await box.licensing.import_(file)
    before = (box.licensing.generation, box.licensing.view("gate"))
    report = await box.licensing.import_(file)
    assert [one.is_new for one in report.leases] == [False]
    assert (box.licensing.generation, box.licensing.view("gate")) == before


async def test_a_lease_of_a_camera_that_is_not_registered_waits_for_it(box) -> None:
    (lease,) = (await box.licensing.import_(answer(box, "roof"))).leases
    assert not lease.registered
    box.licensing.register(CameraId("roof"))
    assert box.state("roof") is VALID


async def test_on_a_full_disk_nothing_is_taken_over(box) -> None:
    await box.licensing.request()
    box.file.is_down = True
    with pytest.raises(UnavailableError):
        await box.licensing.import_(answer(box, "gate"))
    assert (held(box, "gate"), box.state("gate")) == (None, EXPIRED)
    assert box.licensing.device().open_request is not None
    box.file.is_down = False
    await box.licensing.import_(answer(box, "gate"))
    assert box.state("gate") is VALID


async def test_drift_is_reported(box) -> None:
    (lease,) = (await box.licensing.import_(answer(box, "gate", components={**PARTS, "mac_1": "9" * 64}))).leases
    assert lease.drifted == ("mac_1",)
    assert list(box.licensing.device().drifted) == ["mac_1"]


# --- trusted time ---


@pytest.mark.parametrize(
    ("issued", "reset", "now"),
    [
        (START + DAY, False, START + DAY),
        (START - DAY, False, START),
        (START - DAY, True, START - DAY),
        (START + DAY, True, START + DAY),
    ],
    ids=["later raises", "earlier lowers nothing", "earlier lowers when it may", "later raises either way"],
)
async def test_an_imported_lease_sets_the_clock_only_as_it_may(box, issued, reset, now) -> None:
    file = answer(box, "gate", issued=issued, reset_clock=reset)
    await box.licensing.import_(file, dry_run=True)
    assert box.clock.now() == START
    await box.licensing.import_(file)
    assert box.clock.now() == now


async def test_a_lease_sets_the_clock_once_not_at_each_import(box) -> None:
    file = answer(box, "gate", issued=START - DAY, reset_clock=True)
    await box.licensing.import_(file)
    box.clock.issued(START + DAY, reset=False)
    await box.licensing.import_(file)
    assert box.clock.now() == START + DAY


async def test_an_answer_for_a_whole_fleet_leaves_others_their_turn(stage) -> None:
    """And they see no state that is not to stay: the limit of the tenant's lease counts from the first camera on."""
    names = [f"camera {number:03}" for number in range(200)]
    await stage.boot(*names, ask=False)
    stage.heard.changes.clear()
    text = answer(stage, *names, "", cameras_allowed=150)
    task = asyncio.create_task(stage.licensing.import_(text))
    counts = set()
    while not task.done():
        counts.add(stage.licensing.device().counts[VALID])
        await asyncio.sleep(0)
    assert len(counts) > 3
    assert stage.licensing.device().counts[VALID] == 150
    await stage.licensing.reevaluate()
    assert [edge.new for edge in stage.heard.changes] == [VALID] * 150


async def test_an_import_whose_client_has_gone_is_seen_by_all_cameras(stage) -> None:
    names = [f"camera {number:03}" for number in range(200)]
    await stage.boot(*names, ask=False)
    task = asyncio.create_task(stage.licensing.import_(answer(stage, *names)))
    while not stage.licensing.device().counts[VALID]:
        await asyncio.sleep(0)
    await stage.licensing.unregister(CameraId(names[-1]))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stage.licensing.device().counts[VALID] == 199
