"""The fake's own switches and what can be read from it; tests/contract/billing holds it to the real thing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from tapi_agent.domain.delivery import TransportFailure, UsageReply, WireBatch
from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.domain.ids import BatchId, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, Subject
from tapi_agent.testing.billing import GOOD, PLAIN, Beat, FakeBilling

CAMERA = CameraId("cam-1")
SUBJECT = Subject(device_id=DeviceId("device-1"), tenant_id=TenantId("tenant"), camera_id=CAMERA)
BATCH = WireBatch(batch_id=BatchId(UUID(int=7)), body=b'{"events": [{"event_id": "1"}]}')


async def test_answers_come_in_turn_and_the_last_one_stays() -> None:
    fake = FakeBilling()
    trial, enterprise = replace(GOOD, mode=LicenseMode.TRIAL), replace(GOOD, mode=LicenseMode.ENTERPRISE)
    fake.answer(CAMERA, trial, enterprise)
    assert [await fake.validate(SUBJECT, PLAIN) for _ in range(3)] == [trial, enterprise, enterprise]
    assert fake.asked == [SUBJECT] * 3


async def test_an_answer_may_be_an_error() -> None:
    fake = FakeBilling()
    fake.answer(CAMERA, RejectedError("no such camera", code="not_found"), GOOD)
    with pytest.raises(RejectedError, match="no such camera"):
        await fake.validate(SUBJECT, PLAIN)
    assert await fake.validate(SUBJECT, PLAIN) == GOOD


async def test_what_is_allowed_again_is_newer_than_the_denial() -> None:
    fake = FakeBilling()
    fake.deny(CAMERA)
    denied = await fake.validate(SUBJECT, PLAIN)
    fake.allow(CAMERA)
    allowed = await fake.validate(SUBJECT, PLAIN)
    assert (denied.is_valid, allowed.is_valid) == (False, True)
    assert (GOOD.sequence or 0) < (denied.sequence or 0) < (allowed.sequence or 0)


async def test_beats_are_noted_and_the_wish_is_the_tests() -> None:
    fake = FakeBilling()
    fake.next_heartbeat = None
    reply = await fake.heartbeat(tenant_id=TenantId("tenant"), cameras=[CAMERA], tier="basic")
    assert reply.next_heartbeat is None
    assert fake.beats == [Beat(tenant_id=TenantId("tenant"), cameras=(CAMERA,), tier="basic")]


async def test_scripted_replies_are_used_up_and_nothing_of_their_batches_is_billed() -> None:
    fake = FakeBilling()
    fake.reply_to_usage(UsageReply(status=413), UsageReply(status=503, retry_after=timedelta(seconds=9)))
    assert [(await fake.send_usage(BATCH)).status for _ in range(3)] == [413, 503, 200]
    assert fake.sent == [BATCH] * 3
    assert fake.billed == [{"event_id": "1"}]


async def test_a_failure_can_be_chosen_and_nothing_is_sent() -> None:
    fake = FakeBilling()
    fake.offline(TransportFailure.DNS)
    assert await fake.send_usage(BATCH) == UsageReply(failure=TransportFailure.DNS, written=False)
    assert fake.sent == []
    with pytest.raises(UnavailableError, match="dns"):
        await fake.health()


async def test_a_slow_service_answers_who_is_still_waiting_when_it_recovers() -> None:
    fake = FakeBilling(timeout=timedelta(seconds=20))
    fake.slow()
    waiting = asyncio.create_task(fake.validate(SUBJECT, PLAIN))
    await asyncio.sleep(0)
    assert not waiting.done()
    fake.online()
    assert await asyncio.wait_for(waiting, 5) == GOOD
