"""Signed evidence in the tiers: the lease file itself, verified at every load, and not a byte longer in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tapi_agent.adapters.signing import DeviceKey, DeviceSealer
from tapi_agent.domain.errors import IntegrityError, UnavailableError
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseState, LicenseStatus, Reason
from tapi_agent.testing.clock import START
from tapi_agent.testing.licenses import MemoryEvidence

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SAME = {"dmi_serial": "a" * 64, "mac_1": "b" * 64, "disk": "c" * 64}
OTHER = {"dmi_serial": "1" * 64, "mac_1": "2" * 64, "disk": "3" * 64}


def take(stage, lease, text: str = "") -> str:
    """Adopt a lease as an answer of the billing service would be."""
    text = text or stage.leases.issue(lease)
    examined = stage.licensing._around.leases.examine(text)
    stage.licensing._store.adopt(examined.evidence, "billing", lease=text, drifted=examined.drifted)
    return text


def kept(tier: MemoryEvidence) -> dict[str, str]:
    return {subject.camera_id: text for subject, (_, text) in tier.kept.items()}


def texts_in_memory(stage) -> dict[str, str]:
    return stage.licensing._store._leases


async def test_what_every_tier_keeps_of_a_lease_is_its_text(stage) -> None:
    await stage.boot("gate")
    text = take(stage, stage.lease("gate"))
    await stage.licensing._keep()
    assert [kept(tier) for tier in (stage.file, stage.redis, stage.postgres)] == [{"gate": text}] * 3


@pytest.mark.parametrize("survivor", ["file", "redis", "postgres"])
async def test_any_one_tier_is_enough_even_if_the_device_key_is_lost(stage, survivor) -> None:
    stage.keep_lease(getattr(stage, survivor), stage.lease("gate"))
    stage.sealer = DeviceSealer(DeviceKey(b"another key of the same length.."))
    await stage.boot()
    view = stage.licensing.view("gate")
    assert (view.standing.state, view.tier, view.evidence.signed, view.evidence.key_id) == (
        VALID,
        survivor,
        True,
        "k1",
    )


REFUSED = pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({}, Reason.EVIDENCE_INVALID),
        ({"key_id": "gone"}, Reason.KEY_UNKNOWN),
        ({"device_id": DeviceId("box 2")}, Reason.MACHINE_MISMATCH),
        ({"components": OTHER}, Reason.MACHINE_MISMATCH),
        ({"tenant_id": TenantId("rival")}, Reason.EVIDENCE_INVALID),
    ],
    ids=["tampered", "key no longer trusted", "another device", "another machine", "another tenant"],
)


@REFUSED
async def test_a_lease_that_fails_is_a_miss_with_its_reason(stage, contents, reason) -> None:
    stage.parts.parts = SAME
    text = stage.keep_lease(stage.file, stage.lease("gate", **contents))
    stage.leases.key_ids = ("k1",)
    if not contents:
        subject = replace(stage.tenant, camera_id=CameraId("gate"))
        stage.file.kept[subject] = stage.file.kept[subject][0], text.replace("\n0\n", "\n1\n")
    with capture_logs() as logs:
        await stage.boot("gate", "yard")
    assert (stage.state("gate"), stage.reason("gate")) == (EXPIRED, reason)
    assert stage.reason("yard") is Reason.NO_LICENSE
    (line,) = [line for line in logs if line["event"] == "evidence.invalid"]
    assert (line["tier"], line["reason"], line["camera_id"]) == ("file", str(reason), "gate")


@REFUSED
async def test_a_tier_with_a_good_one_makes_up_for_a_tier_with_a_bad_one(stage, contents, reason) -> None:
    del reason
    stage.parts.parts = SAME
    good = stage.keep_lease(stage.postgres, stage.lease("gate"))
    stage.keep_lease(stage.file, stage.lease("gate", **{"device_id": DeviceId("no"), **contents}))
    stage.leases.key_ids = ("k1",)
    await stage.boot("gate")
    assert (stage.state("gate"), stage.licensing.view("gate").tier) == (VALID, "postgres")
    await stage.licensing._keep()
    assert kept(stage.file) == {"gate": good}


async def test_the_reason_is_gone_when_good_evidence_is_held(stage) -> None:
    stage.keep_lease(stage.file, stage.lease("gate", key_id="gone"))
    stage.leases.key_ids = ("k1",)
    await stage.boot("gate")
    assert stage.reason("gate") is Reason.KEY_UNKNOWN
    take(stage, stage.lease("gate", sequence=2))
    await stage.licensing.reevaluate()
    assert stage.state("gate") is VALID
    assert stage.licensing._store.missing(CameraId("gate")) is Reason.NO_LICENSE


async def test_what_is_wrong_with_the_tenants_is_wrong_for_every_camera_without_its_own(stage) -> None:
    stage.keep_lease(stage.file, stage.lease(key_id="gone"))
    stage.keep_lease(stage.file, stage.lease("gate"))
    stage.leases.key_ids = ("k1",)
    await stage.boot("gate", "yard")
    assert (stage.state("gate"), stage.reason("yard")) == (VALID, Reason.KEY_UNKNOWN)


async def test_a_key_that_is_no_longer_trusted_is_one_line_not_one_a_camera(stage) -> None:
    for number in range(100):
        stage.keep_lease(stage.file, stage.lease(f"camera {number}", key_id="gone"))
    stage.leases.key_ids = ()
    with capture_logs() as logs:
        await stage.boot()
    assert [line["count"] for line in logs if line["event"] == "evidence.invalid"] == [100]


class DamagedTier(MemoryEvidence):
    """As a file that was cut: set aside, and said so."""

    async def load_all(self):
        raise IntegrityError("evidence.json is damaged", fix="restore it")


async def test_a_tier_that_was_damaged_as_a_whole_is_the_reason(stage) -> None:
    stage.file = DamagedTier("file")
    await stage.boot("gate")
    assert stage.reason("gate") is Reason.EVIDENCE_INVALID


async def test_the_devices_own_seal_makes_no_signed_evidence(stage, evidence) -> None:
    stage.keep(stage.file, replace(evidence, verified_at=START, signed=True, sequence=2**60))
    await stage.boot("gate")
    assert stage.reason("gate") is Reason.EVIDENCE_INVALID


# --- rank ---


async def test_signed_goes_before_classic_whichever_is_later(stage, evidence) -> None:
    stage.keep(stage.file, replace(evidence, verified_at=START))
    stage.keep_lease(stage.postgres, stage.lease("gate", issued=START - 9 * DAY))
    await stage.boot()
    assert stage.licensing.view("gate").evidence.signed


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ({"sequence": 2, "issued": START - HOUR}, {"sequence": 1, "issued": START}, "file"),
        ({"sequence": 1, "issued": START}, {"sequence": 2, "issued": START - HOUR}, "postgres"),
        ({"sequence": 1, "issued": START - HOUR}, {"sequence": 1, "issued": START}, "postgres"),
        ({"sequence": 1, "issued": START}, {"sequence": 1, "issued": START}, "file"),
    ],
    ids=["higher sequence", "higher sequence later", "same sequence issued later", "the very same"],
)
async def test_the_newest_lease_of_all_tiers_wins(stage, first, second, winner) -> None:
    texts = {
        "file": stage.keep_lease(stage.file, stage.lease("gate", **first)),
        "postgres": stage.keep_lease(stage.postgres, stage.lease("gate", **second)),
    }
    await stage.boot()
    assert stage.licensing.view("gate").tier == winner
    await stage.licensing._keep()
    assert kept(stage.redis) == kept(stage.file) == {"gate": texts[winner]}


async def test_stored_classic_evidence_runs_out_its_deadlines_beside_a_trusted_key(stage, evidence) -> None:
    stage.leases.key_ids = ("k1",)
    stage.keep(stage.file, replace(evidence, verified_at=START - HOUR))
    await stage.boot(ask=False)
    assert stage.state("gate") is OFFLINE
    await stage.pass_time(23 * HOUR)
    assert stage.state("gate") is GRACE
    await stage.pass_time(7 * DAY)
    assert (stage.state("gate"), stage.reason("gate")) == (EXPIRED, Reason.OFFLINE_LIMIT)


async def test_a_lease_of_the_tenant_covers_its_cameras(stage) -> None:
    stage.keep_lease(stage.file, stage.lease(cameras_allowed=1))
    await stage.boot("gate", "yard")
    assert (stage.state("gate"), stage.reason("yard")) == (VALID, Reason.CAMERA_LIMIT)
    assert stage.licensing.view("gate").evidence.subject.camera_id == TENANT


async def test_the_device_is_its_worst_camera_whatever_the_tenants_lease_says(stage) -> None:
    stage.keep_lease(stage.file, stage.lease())
    stage.keep_lease(stage.file, stage.lease("yard", status=LicenseStatus.PAST_DUE))
    stage.keep_lease(stage.file, stage.lease("roof", status=LicenseStatus.REVOKED))
    await stage.boot("gate", "yard", "roof")
    device = stage.licensing.device()
    assert (device.state, device.reason) == (EXPIRED, Reason.REVOKED)
    assert device.counts == {VALID: 1, OFFLINE: 0, GRACE: 1, EXPIRED: 1}


async def test_each_camera_has_its_own_lifecycle(stage) -> None:
    stage.keep_lease(stage.file, stage.lease("gate", expiry=START + DAY))
    stage.keep_lease(stage.file, stage.lease("yard", expiry=START + 20 * DAY))
    await stage.boot(ask=False)
    await stage.pass_time(2 * DAY)
    assert (stage.state("gate"), stage.state("yard")) == (GRACE, OFFLINE)
    await stage.pass_time(6 * DAY)
    assert (stage.state("gate"), stage.reason("gate"), stage.state("yard")) == (EXPIRED, Reason.OFFLINE_LIMIT, OFFLINE)
    await stage.licensing.stop()
    assert stage.edges("gate") == ["expired>valid", "valid>grace", "grace>expired"]
    assert stage.edges("yard") == ["expired>valid", "valid>offline"]


async def test_a_camera_that_is_deleted_frees_its_place_under_the_tenants_lease(stage) -> None:
    stage.keep_lease(stage.file, stage.lease(cameras_allowed=1))
    await stage.boot("gate", "yard")
    await stage.licensing.unregister(CameraId("gate"))
    assert stage.state("yard") is VALID


async def test_a_limit_of_null_is_none(stage) -> None:
    stage.keep_lease(stage.file, stage.lease(cameras_allowed=None))
    stage.keep_lease(stage.file, stage.lease("gate", cameras_allowed=1))
    await stage.boot("gate", "yard", "roof")
    assert stage.licensing.device().counts[VALID] == 3


async def test_a_denial_stays_in_force_over_a_restart_until_newer_evidence(stage) -> None:
    stage.keep_lease(stage.file, stage.lease("gate", status=LicenseStatus.SUSPENDED, sequence=3))
    stage.keep_lease(stage.postgres, stage.lease("gate", sequence=2, issued=START + HOUR))
    await stage.boot()
    assert stage.reason("gate") is Reason.SUSPENDED
    take(stage, stage.lease("gate", sequence=4))
    await stage.licensing.reevaluate()
    assert stage.state("gate") is VALID


async def test_a_lease_that_says_expired_lapses_by_its_date_if_that_is_past(stage) -> None:
    """A no whose date is past when it is spoken lapses by its date, with its grace; without a date it is a no."""
    stage.keep_lease(stage.file, stage.lease("gate", status=LicenseStatus.EXPIRED, valid_until=START - DAY))
    stage.keep_lease(stage.file, stage.lease("yard", status=LicenseStatus.EXPIRED))
    await stage.boot()
    assert (stage.state("gate"), stage.reason("gate")) == (GRACE, Reason.LICENSE_LAPSED)
    assert (stage.state("yard"), stage.reason("yard")) == (EXPIRED, Reason.LICENSE_EXPIRED)


# --- the clock set back ---


async def test_a_lease_from_the_future_keeps_its_own_deadline_and_its_text(stage) -> None:
    """Its issuer's clock is right, ours is not: it counts from now, and ends when it says."""
    stage.machine.set_wall(START + 10 * DAY)
    text = stage.keep_lease(stage.file, stage.lease("gate", issued=START + 10 * DAY, expiry=START + 20 * DAY))
    await stage.boot()
    stage.clock.issued(START, reset=True)
    await stage.licensing.reevaluate()
    evidence = stage.licensing.view("gate").evidence
    assert evidence.verified_at <= stage.clock.now() < START + DAY
    assert evidence.verified_at + evidence.durations.offline_allowance == START + 20 * DAY
    await stage.licensing._keep()
    assert [kept(tier) for tier in (stage.file, stage.redis, stage.postgres)] == [{"gate": text}] * 3


async def test_the_same_lease_of_another_tier_undoes_no_restamp(stage) -> None:
    lease = stage.lease("gate", issued=START + 10 * DAY, expiry=START + 20 * DAY)
    stage.machine.set_wall(START + 10 * DAY)
    text = stage.keep_lease(stage.file, lease)
    await stage.boot()
    stage.clock.issued(START, reset=True)
    await stage.licensing.reevaluate()
    before = stage.licensing._store.get(CameraId("gate"))
    stage.postgres.kept = dict(stage.file.kept)
    stage.connectivity.failed("postgres", UnavailableError("gone"))
    stage.connectivity.succeeded("postgres")
    await stage.licensing._keep()
    assert stage.licensing._store.get(CameraId("gate")) == before
    assert kept(stage.postgres) == {"gate": text}


# --- memory, and tiers that were away ---


async def test_a_text_stays_in_memory_only_until_the_file_has_it(stage) -> None:
    stage.redis.is_down = stage.postgres.is_down = True
    await stage.boot("gate")
    take(stage, stage.lease("gate"))
    assert list(texts_in_memory(stage)) == ["gate"]
    await stage.licensing._keep()
    assert texts_in_memory(stage) == {}


async def test_nothing_of_what_a_start_has_read_stays_in_memory(stage) -> None:
    for number in range(100):
        stage.keep_lease(stage.file, stage.lease(f"camera {number}"))
    await stage.boot()
    assert len(stage.licensing.cameras()) == 100
    assert texts_in_memory(stage) == {}


async def test_while_the_disk_is_full_texts_wait_in_memory_and_go_to_the_others(stage) -> None:
    stage.file.is_down = True
    await stage.boot("gate")
    text = take(stage, stage.lease("gate"))
    await stage.licensing._keep()
    assert texts_in_memory(stage) == {"gate": text}
    assert kept(stage.postgres) == {"gate": text}
    stage.file.is_down = False
    stage.machine.advance(5 * SECOND)
    await stage.licensing._keep()
    assert (texts_in_memory(stage), kept(stage.file)) == ({}, {"gate": text})


async def test_a_tier_that_was_away_for_days_is_filled_from_the_file(stage) -> None:
    stage.postgres.is_down = True
    await stage.boot("gate", "yard")
    texts = {camera: take(stage, stage.lease(camera)) for camera in ("gate", "yard")}
    await stage.licensing._keep()
    stage.postgres.is_down = False
    stage.machine.advance(3 * DAY)
    await stage.licensing._keep()
    assert kept(stage.postgres) == texts


async def test_without_the_file_it_waits_for_the_file(stage) -> None:
    stage.postgres.is_down = True
    await stage.boot("gate")
    text = take(stage, stage.lease("gate"))
    await stage.licensing._keep()
    stage.postgres.is_down, stage.file.is_down = False, True
    stage.machine.advance(3 * DAY)
    await stage.licensing._keep()
    assert kept(stage.postgres) == {}
    stage.file.is_down = False
    stage.machine.advance(5 * SECOND)
    await stage.licensing._keep()
    assert kept(stage.postgres) == {"gate": text}


async def test_a_text_that_is_nowhere_any_more_is_not_looked_for_for_ever(stage) -> None:
    stage.postgres.is_down = True
    await stage.boot("gate")
    take(stage, stage.lease("gate"))
    await stage.licensing._keep()
    stage.file.kept.clear()
    stage.postgres.is_down = False
    stage.machine.advance(DAY)
    await stage.licensing._keep()
    assert kept(stage.postgres) == {}
    assert not stage.licensing._store._shelves[2].lacking
    text = take(stage, stage.lease("gate", sequence=2))
    await stage.licensing._keep()
    assert kept(stage.postgres) == kept(stage.file) == {"gate": text}


async def test_an_older_text_in_the_file_is_not_passed_on_for_the_newer_one(stage) -> None:
    stage.postgres.is_down = True
    await stage.boot("gate")
    take(stage, stage.lease("gate", sequence=2))
    await stage.licensing._keep()
    stage.keep_lease(stage.file, stage.lease("gate", sequence=1))
    stage.postgres.is_down = False
    stage.machine.advance(DAY)
    await stage.licensing._keep()
    assert kept(stage.postgres) == {}


# --- the machine ---


async def test_what_has_drifted_is_told_until_a_newer_lease_says_otherwise(stage) -> None:
    stage.parts.parts = {**SAME, "mac_1": "9" * 64}
    stage.keep_lease(stage.file, stage.lease("gate", components=SAME))
    await stage.boot()
    assert (stage.state("gate"), list(stage.licensing.device().drifted)) == (VALID, ["mac_1"])
    take(stage, stage.lease("gate", sequence=1, components=stage.parts.parts))
    assert list(stage.licensing.device().drifted) == []


async def test_the_device_says_which_keys_it_trusts(stage) -> None:
    stage.leases.key_ids = ("k1", "k2")
    await stage.boot()
    assert list(stage.licensing.device().trusted_keys) == ["k1", "k2"]


# --- the loop ---


async def test_a_thousand_leases_are_not_verified_in_one_go(stage) -> None:
    """Others get their turn in between: requests are answered while a start or a returning tier is being read."""
    stored = {}
    for number in range(200):
        text = stage.keep_lease(stage.file, stage.lease(f"camera {number}"))
        stored[replace(stage.tenant, camera_id=CameraId(f"camera {number}"))] = text
    stage.build()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    verified = await stage.licensing._store._verifier.verify(stored)
    task.cancel()
    assert len(verified.words) == 200
    assert turns >= 4
