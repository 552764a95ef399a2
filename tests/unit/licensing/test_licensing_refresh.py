"""Asking: how often, how many at once, how long to wait, who is not asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.ids import DeviceId
from tapi_agent.domain.license import LicenseState
from tapi_agent.services.licensing.values import RefreshRound
from tapi_agent.testing.billing import GOOD, FakeBilling
from tapi_agent.testing.clock import START

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
NOTHING = timedelta(0)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
TICK = timedelta(microseconds=1)


class CountingBilling(FakeBilling):
    """Knows how many requests are under way at once; answers when ``gate`` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.now = self.most = 0

    async def validate(self, subject, question):
        self.now += 1
        self.most = max(self.most, self.now)
        await self.gate.wait()
        self.now -= 1
        return await super().validate(subject, question)


async def test_eight_at_once(stage, until) -> None:
    stage.billing = CountingBilling()
    await stage.boot(*(f"camera {number}" for number in range(30)))
    refresh = asyncio.create_task(stage.licensing.refresh())
    await until(lambda: stage.billing.now == 8)
    stage.billing.gate.set()
    assert (await refresh).answered == 30
    assert stage.billing.most == 8


async def test_one_request_a_camera_however_many_ask(stage, until) -> None:
    stage.billing = CountingBilling()
    await stage.boot("gate")
    asking = [asyncio.create_task(stage.licensing.validate("gate", wait=MINUTE)) for _ in range(20)]
    refresh = asyncio.create_task(stage.licensing.refresh())
    await until(lambda: stage.billing.now)
    stage.billing.gate.set()
    views = await asyncio.gather(*asking)
    await refresh
    assert {view.standing.state for view in views} == {VALID}
    assert stage.asked() == ["gate"]


async def test_a_service_that_gives_no_answer_stops_the_round(stage) -> None:
    stage.billing.offline()
    await stage.boot(*(f"camera {number}" for number in range(1000)))
    done = await stage.licensing.refresh()
    assert done == RefreshRound(cameras=1000, answered=0, refused=0, unreachable=1000)
    assert stage.licensing.view("camera 999").problem


async def test_validate_answers_at_once_with_what_is_known(stage) -> None:
    await stage.settled("gate")
    stage.billing.asked.clear()
    view = await stage.licensing.validate("gate")
    assert (view.standing.state, stage.asked()) == (VALID, [])


async def test_validate_registers_a_new_camera_and_has_it_asked_for_soon(stage) -> None:
    await stage.boot()
    view = await stage.licensing.validate("gate")
    assert view.standing.state is EXPIRED
    assert stage.licensing.refresh_due() == NOTHING


async def test_validate_waits_no_longer_than_it_was_told_and_the_answer_counts_later(stage, until) -> None:
    stage.billing = CountingBilling()
    await stage.boot("gate")
    view = await stage.licensing.validate("gate", wait=timedelta(milliseconds=10))
    assert view.standing.state is EXPIRED
    stage.billing.gate.set()
    await until(lambda: stage.state("gate") is VALID)


async def test_a_waiting_caller_that_goes_away_disturbs_nobody(stage, until) -> None:
    stage.billing = CountingBilling()
    await stage.boot("gate")
    gone = asyncio.create_task(stage.licensing.validate("gate", wait=MINUTE))
    await until(lambda: stage.billing.now)
    gone.cancel()
    stage.billing.gate.set()
    await until(lambda: stage.state("gate") is VALID)


async def test_half_the_freshness_at_most(stage) -> None:
    dues = set()
    for number in range(20):
        stage.tenant = replace(stage.tenant, device_id=DeviceId(f"box {number}"))
        await stage.boot("gate")
        await stage.licensing.refresh()
        dues.add(stage.licensing.refresh_due())
    assert all(24 * MINUTE <= due <= 30 * MINUTE for due in dues)
    assert len(dues) == 20, "devices do not come all at once"


async def test_cameras_that_are_almost_due_join_the_round(stage) -> None:
    await stage.boot("early", "late", "new")
    stage.licensing._schedule.answered("early")
    stage.machine.advance(2 * MINUTE)
    stage.licensing._schedule.answered("late")
    stage.machine.advance(24 * MINUTE)
    stage.licensing._schedule.answered("new")
    stage.machine.advance(4 * MINUTE)
    assert set(stage.licensing._schedule.due()) == {"early", "late"}


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        (None, [1, 2, 4, 8, 16]),
        (10 * SECOND, [10, 10, 10, 10, 16]),
        (HOUR, [900] * 5),
    ],
    ids=["own backoff", "the service's wish is a minimum", "and bounded"],
)
async def test_backoff_while_the_service_is_silent(stage, retry_after, expected) -> None:
    stage.billing.answer("gate", UnavailableError("503", retry_after=retry_after))
    await stage.boot("gate")
    waits = []
    for _ in expected:
        await stage.licensing._round(["gate"])
        waits.append(stage.licensing.refresh_due().total_seconds())
        stage.machine.advance(stage.licensing.refresh_due())
    assert waits == pytest.approx(expected, abs=1e-5)
    assert stage.licensing.refresh_due() == NOTHING


async def test_backoff_ends_at_a_quarter_of_an_hour(stage) -> None:
    stage.billing.offline()
    await stage.boot("gate")
    for _ in range(30):
        await stage.licensing.refresh()
    assert stage.licensing.refresh_due().total_seconds() == pytest.approx(900, abs=1e-5)


async def test_one_answer_ends_the_backoff(stage) -> None:
    stage.billing.answer("gate", *[UnavailableError("503")] * 5, GOOD, UnavailableError("503"))
    await stage.boot("gate")
    for _ in range(7):
        await stage.licensing.refresh()
    assert stage.licensing.refresh_due() <= 30 * MINUTE
    stage.licensing.resumed()
    assert stage.licensing.refresh_due().total_seconds() == pytest.approx(1, abs=1e-5)


async def test_reconnecting_ends_the_backoff_but_not_what_the_service_asked_for(stage) -> None:
    stage.billing.answer("gate", UnavailableError("429", retry_after=10 * MINUTE))
    await stage.boot("gate")
    for _ in range(20):
        await stage.licensing._round(["gate"])
    assert stage.licensing.refresh_due() > 14 * MINUTE
    await stage.connectivity.probe_billing()
    assert stage.licensing.refresh_due() == 10 * MINUTE
    stage.billing.asked.clear()
    assert (await stage.licensing.refresh()).cameras == 0
    await stage.licensing.validate("gate", wait=MINUTE)
    assert stage.asked() == []


async def test_refusals_of_one_camera_are_asked_about_ever_more_rarely(stage) -> None:
    stage.billing.deny("gate")
    await stage.boot("gate")
    waits = []
    for _ in range(12):
        await stage.licensing.refresh()
        waits.append(round(stage.licensing.refresh_due().total_seconds()))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


async def test_the_time_of_the_authority_is_heard(stage) -> None:
    stage.billing.answer("gate", replace(GOOD, server_time=START + 99 * HOUR))
    await stage.boot("gate")
    await stage.licensing.refresh()
    assert stage.clock.now() == START + 99 * HOUR
    assert stage.licensing.view("gate").evidence.verified_at == START + 99 * HOUR
    assert stage.state("gate") is VALID


async def test_an_authority_that_disagrees_with_the_time_servers_makes_nothing_expire(stage) -> None:
    stage.billing.answer("gate", replace(GOOD, server_time=START - 2000 * HOUR))
    await stage.boot("gate")
    await stage.licensing.refresh()
    await stage.pass_time(SECOND)
    stage.billing.offline()
    await stage.licensing.refresh()
    assert stage.state("gate") is VALID
    assert stage.clock.now() == START - 2000 * HOUR + SECOND


async def test_an_unsigned_word_never_replaces_a_signed_one(stage, evidence) -> None:
    stage.keep_lease(stage.file, stage.lease("gate"))
    stage.billing.deny("gate")
    await stage.boot()
    before = stage.licensing.view("gate").evidence
    for _ in range(2):
        await stage.licensing.refresh()
        stage.machine.advance(2 * MINUTE)
    assert before.signed
    assert stage.licensing.view("gate").evidence == before
    assert stage.state("gate") is VALID
