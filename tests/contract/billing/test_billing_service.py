"""What every implementation of ``ports.billing.BillingService`` does: the fake, and the client with the sandbox."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.delivery import TransportFailure, UsageReply
from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.domain.ids import CameraId
from tapi_agent.domain.license import LicenseMode, LicenseStatus
from tapi_agent.ports.billing import BilledTotal, FeatureReply
from tapi_agent.testing.billing import PLAIN

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
ONE_MINUTE = timedelta(minutes=1)


def ids(*numbers: int) -> dict[str, int]:
    """What the ledger says when each of these events was billed once."""
    return {str(UUID(int=number)): 1 for number in numbers}


def results(reply: UsageReply) -> dict[int, str]:
    return {UUID(result["event_id"]).int: result["status"] for result in json.loads(reply.body)["results"]}


async def every_call(bench: Any) -> list[Any]:
    """Each call that raises when there is no answer, not yet awaited."""
    billing, tenant = bench.billing, bench.tenant
    return [
        billing.health(),
        billing.validate(bench.subject("cam-1"), PLAIN),
        billing.license_report(tenant),
        billing.feature(tenant, "outputs.api"),
        billing.heartbeat(tenant_id=tenant, cameras=[], tier="basic"),
        billing.find_batch(UUID(int=7)),
        billing.usage_sums(tenant, start=NOON, end=NOON),
        billing.usage_totals(start=NOON, end=NOON),
        billing.look_up([UUID(int=7)]),
    ]


async def test_a_healthy_service_says_so(bench: Any) -> None:
    assert await bench.billing.health() is None


async def test_a_camera_nobody_has_spoken_of_is_licensed(bench: Any) -> None:
    reply = await bench.billing.validate(bench.subject("cam-1"), PLAIN)
    assert (reply.is_valid, reply.mode, reply.status) == (True, LicenseMode.BASE, LicenseStatus.ACTIVE)
    assert (reply.packs, reply.valid_until, reply.cameras_allowed) == ((), None, None)


async def test_what_was_sold_is_what_is_said(bench: Any) -> None:
    until = "2099-01-01T10:00:00.123456789+10:00"
    await bench.sell("", mode="enterprise", until=until, packs=["Advanced Analytics", "retail"], cameras_allowed=4)
    reply = await bench.billing.validate(bench.subject(""), PLAIN)
    assert (reply.is_valid, reply.mode) == (True, LicenseMode.ENTERPRISE)
    assert reply.packs == ("Advanced Analytics", "retail")
    assert reply.valid_until == datetime(2099, 1, 1, 0, 0, 0, 123_456, UTC)
    assert reply.cameras_allowed == 4


@pytest.mark.parametrize("status", ["revoked", "suspended"])
async def test_a_denied_camera_is_told_so_and_the_others_are_not(status: str, bench: Any) -> None:
    await bench.sell("cam-1", status=status)
    denied = await bench.billing.validate(bench.subject("cam-1"), PLAIN)
    assert (denied.is_valid, denied.status) == (False, status)
    assert (await bench.billing.validate(bench.subject("cam-2"), PLAIN)).is_valid


@pytest.mark.parametrize("status", ["grace_period", "past_due"])
async def test_who_is_in_arrears_is_still_valid(status: str, bench: Any) -> None:
    await bench.sell("cam-1", status=status)
    reply = await bench.billing.validate(bench.subject("cam-1"), PLAIN)
    assert (reply.is_valid, reply.status) == (True, status)


async def test_an_unlicensed_camera(bench: Any) -> None:
    await bench.sell("cam-1", mode="unlicensed")
    reply = await bench.billing.validate(bench.subject("cam-1"), PLAIN)
    assert (reply.is_valid, reply.mode) == (False, LicenseMode.UNLICENSED)


async def test_a_denial_is_newer_than_what_was_said_before(bench: Any) -> None:
    before = await bench.billing.validate(bench.subject("cam-1"), PLAIN)
    await bench.sell("cam-1", status="revoked")
    after = await bench.billing.validate(bench.subject("cam-1"), PLAIN)
    assert after.sequence > before.sequence


async def test_a_classic_service_says_no_word_of_the_extension(bench: Any) -> None:
    await bench.classic()
    reply = await bench.billing.validate(bench.subject("cam-1"), PLAIN)
    assert reply.is_valid
    assert (reply.status, reply.sequence, reply.server_time) == (None, None, None)


NONCE = "0f" * 16
QUESTION = replace(PLAIN, sequence=3, components={"disk": "ab" * 32}, nonce=NONCE)


async def test_who_asks_with_a_nonce_gets_a_lease_from_a_service_that_signs(bench: Any) -> None:
    await bench.sign()
    reply = await bench.billing.validate(bench.subject("cam-1"), QUESTION)
    assert reply.lease.startswith("-----BEGIN MACHINE FILE-----\n")
    assert reply.is_valid
    assert "BEGIN" not in reply.raw


async def test_without_a_nonce_there_is_no_lease(bench: Any) -> None:
    await bench.sign()
    assert (await bench.billing.validate(bench.subject("cam-1"), replace(QUESTION, nonce=None))).lease == ""


async def test_without_signing_there_is_no_lease(bench: Any) -> None:
    reply = await bench.billing.validate(bench.subject("cam-1"), QUESTION)
    assert (reply.is_valid, reply.lease) == (True, "")


async def test_the_report_has_the_tenant_and_the_cameras_that_were_asked_about(bench: Any) -> None:
    await bench.sell("", cameras_allowed=9)
    for camera in ("cam-1", "cam-2"):
        await bench.billing.validate(bench.subject(camera), PLAIN)
    report = await bench.billing.license_report(bench.tenant)
    assert (report.tenant.is_valid, report.tenant.cameras_allowed, set(report.cameras)) == (True, 9, {"cam-1", "cam-2"})
    word = report.cameras["cam-1"]
    assert (word.is_valid, word.mode, word.status) == (True, LicenseMode.BASE, LicenseStatus.ACTIVE)
    assert report.tenant.sequence is not None
    assert (word.sequence, report.malformed) == (None, {})


async def test_the_report_tells_who_is_denied(bench: Any) -> None:
    for camera in ("cam-1", "cam-2"):
        await bench.billing.validate(bench.subject(camera), PLAIN)
    await bench.sell("cam-1", status="suspended")
    report = await bench.billing.license_report(bench.tenant)
    assert (report.cameras["cam-1"].is_valid, report.cameras["cam-1"].status) == (False, LicenseStatus.SUSPENDED)
    assert report.cameras["cam-2"].is_valid


async def test_a_classic_service_reports_no_word_of_the_extension(bench: Any) -> None:
    await bench.billing.validate(bench.subject("cam-1"), PLAIN)
    await bench.classic()
    report = await bench.billing.license_report(bench.tenant)
    assert {word.status for word in (report.tenant, *report.cameras.values())} == {None}
    assert (report.tenant.sequence, report.tenant.server_time) == (None, None)


async def test_a_service_that_offers_no_report(bench: Any) -> None:
    await bench.offer_no_report()
    assert await bench.billing.license_report(bench.tenant) is None


@pytest.mark.parametrize("enabled", [True, False])
async def test_the_word_on_a_feature(bench: Any, *, enabled: bool) -> None:
    await bench.overrule("outputs.sms", enabled=enabled)
    reply = await bench.billing.feature(bench.tenant, "outputs.sms")
    assert reply == FeatureReply(is_enabled=enabled, quota_remaining=Decimal(-1))


async def test_what_is_left_of_a_feature(bench: Any) -> None:
    await bench.limit("outputs.api", left=5)
    reply = await bench.billing.feature(bench.tenant, "outputs.api")
    assert (reply.is_enabled, reply.quota_remaining) == (True, 5)


async def test_a_feature_that_no_product_has(bench: Any) -> None:
    with pytest.raises(RejectedError) as caught:
        await bench.billing.feature(bench.tenant, "analytics.telepathy")
    assert caught.value.code == "not_found"


async def test_a_heartbeat_is_answered_with_a_wish(bench: Any) -> None:
    cameras = [CameraId("cam-1"), CameraId("cam-2")]
    reply = await bench.billing.heartbeat(tenant_id=bench.tenant, cameras=cameras, tier="managed")
    assert reply.next_heartbeat == timedelta(minutes=15)


async def test_offline_is_no_answer_to_anything_and_online_heals(bench: Any, batch_of: Any) -> None:
    await bench.offline()
    for call in await every_call(bench):
        with pytest.raises(UnavailableError) as caught:
            await call
        assert caught.value.fix
    reply = await bench.billing.send_usage(batch_of(7, 1))
    assert reply == UsageReply(failure=TransportFailure.REFUSED, written=False)
    await bench.online()
    assert (await bench.billing.validate(bench.subject("cam-1"), PLAIN)).is_valid
    assert await bench.times_billed() == {}


async def test_slow_is_no_answer_and_a_batch_is_in_doubt(bench: Any, batch_of: Any) -> None:
    await bench.slow()
    with pytest.raises(UnavailableError):
        await bench.billing.validate(bench.subject("cam-1"), PLAIN)
    reply = await bench.billing.send_usage(batch_of(7, 1, 2))
    assert reply == UsageReply(failure=TransportFailure.TIMEOUT, written=True)
    await bench.online()
    assert set(results(await bench.billing.send_usage(batch_of(7, 1, 2)))) == {1, 2}
    assert await bench.times_billed() == ids(1, 2)


async def test_a_batch_is_billed_and_each_event_has_its_result(bench: Any, batch_of: Any) -> None:
    reply = await bench.billing.send_usage(batch_of(7, 1, 2, 3))
    assert (reply.status, reply.failure) == (200, None)
    assert "json" in reply.content_type
    assert results(reply) == {1: "accepted", 2: "accepted", 3: "accepted"}
    counts = json.loads(reply.body)
    assert (counts["batch_id"], counts["accepted_count"]) == (str(UUID(int=7)), 3)
    assert (counts["rejected_count"], counts["errors"]) == (0, [])
    assert await bench.times_billed() == ids(1, 2, 3)


async def test_a_lost_reply_leaves_doubt_and_the_same_bytes_settle_it(bench: Any, batch_of: Any) -> None:
    await bench.lose_next_reply()
    lost = await bench.billing.send_usage(batch_of(7, 1, 2))
    assert lost == UsageReply(failure=TransportFailure.RESET, written=True)
    assert await bench.times_billed() == ids(1, 2)
    assert results(await bench.billing.send_usage(batch_of(7, 1, 2))) == {1: "accepted", 2: "accepted"}
    assert await bench.times_billed() == ids(1, 2)


async def test_an_event_in_another_batch_is_a_duplicate(bench: Any, batch_of: Any) -> None:
    await bench.billing.send_usage(batch_of(7, 1, 2))
    assert results(await bench.billing.send_usage(batch_of(8, 2, 3))) == {2: "duplicate", 3: "accepted"}
    assert await bench.times_billed() == ids(1, 2, 3)


async def test_a_key_is_for_one_body(bench: Any, batch_of: Any) -> None:
    await bench.billing.send_usage(batch_of(7, 1))
    reply = await bench.billing.send_usage(batch_of(7, 2))
    assert reply.status == 422
    assert json.loads(reply.body)["code"] == "key_reused"
    assert await bench.times_billed() == ids(1)


async def test_what_is_no_batch_is_refused_and_not_billed(bench: Any, batch_of: Any) -> None:
    good = batch_of(7, 1)
    broken = type(good)(batch_id=good.batch_id, body=good.body[:-3])
    assert (await bench.billing.send_usage(broken)).status == 400
    assert await bench.times_billed() == {}


async def test_a_classic_service_counts_and_does_not_dedupe(bench: Any, batch_of: Any) -> None:
    await bench.classic()
    for _ in range(2):
        reply = await bench.billing.send_usage(batch_of(7, 1, 2))
        assert json.loads(reply.body) == {"accepted_count": 2, "rejected_count": 0, "errors": []}
    assert await bench.times_billed() == {str(UUID(int=1)): 2, str(UUID(int=2)): 2}


async def test_a_classic_batch_is_counted_by_any_service(bench: Any, batch_of: Any) -> None:
    reply = await bench.billing.send_usage(batch_of(7, 1, 2, dialect=Dialect.CLASSIC))
    assert json.loads(reply.body) == {"accepted_count": 2, "rejected_count": 0, "errors": []}


async def test_a_stored_batch_is_found_with_its_results(bench: Any, batch_of: Any) -> None:
    await bench.billing.send_usage(batch_of(7, 1))
    await bench.billing.send_usage(batch_of(8, 1, 2))
    record = await bench.billing.find_batch(UUID(int=8))
    assert record.batch_id == UUID(int=8)
    assert record.results == {UUID(int=1): "duplicate", UUID(int=2): "accepted"}


async def test_a_batch_never_stored_is_not_found(bench: Any) -> None:
    assert await bench.billing.find_batch(UUID(int=7)) is None


async def test_sums_are_exact_and_their_bounds_inclusive(bench: Any, batch_of: Any) -> None:
    stored = {"event_type": "storage_gb_days", "unit": "gb_days"}
    for number, (quantity, at) in enumerate([(0.1, NOON - ONE_MINUTE), (0.2, NOON), (0.4, NOON + ONE_MINUTE)], start=1):
        changed = stored | {"quantity": quantity, "event_time": at.isoformat()}
        await bench.billing.send_usage(batch_of(number, number, **changed))
    await bench.billing.send_usage(batch_of(4, 4, quantity=2.9))
    await bench.billing.send_usage(batch_of(5, 5, tenant="another"))
    sums = await bench.billing.usage_sums(bench.tenant, start=NOON - ONE_MINUTE, end=NOON)
    assert sums == {
        "api_calls": 2,
        "llm_tokens_used": 0,
        "storage_gb_days": Decimal("0.3"),
        "sms_sent": 0,
        "agent_executions": 0,
    }


async def test_totals_are_exact_by_meter_and_day_and_their_bounds_inclusive(bench: Any, batch_of: Any) -> None:
    stored = {"event_type": "storage_gb_days", "unit": "gb_days"}
    for number, (quantity, at) in enumerate([(0.1, NOON), (0.2, NOON), (0.4, NOON + ONE_MINUTE)], start=1):
        await bench.billing.send_usage(
            batch_of(number, number, **stored | {"quantity": quantity, "event_time": at.isoformat()})
        )
    await bench.billing.send_usage(batch_of(4, 4))
    found = await bench.billing.usage_totals(start=NOON - ONE_MINUTE, end=NOON)
    ours = [total for total in found if total.meter == "storage_gb_days"]
    assert ours == [
        BilledTotal(tenant_id=bench.tenant, meter="storage_gb_days", day=NOON.date(), events=2, quantity=Decimal("0.3"))
    ]
    assert {total.meter for total in found} == {"api_call", "storage_gb_days"}


async def test_each_event_can_be_looked_up(bench: Any, batch_of: Any) -> None:
    await bench.billing.send_usage(batch_of(7, 1, 2))
    assert await bench.billing.look_up([UUID(int=n) for n in (1, 2, 3)]) == {UUID(int=1), UUID(int=2)}


async def test_a_classic_service_has_no_totals_and_looks_up_nothing(bench: Any) -> None:
    await bench.classic()
    assert await bench.billing.usage_totals(start=NOON, end=NOON) is None
    with pytest.raises(RejectedError) as caught:
        await bench.billing.look_up([UUID(int=1)])
    assert caught.value.code == "not_found"
