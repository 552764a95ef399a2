"""Reserving, committing and releasing, as one agent does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from tests.unit.quotas.site import CALLS, TOKENS, ended

from tapi_agent.domain.errors import InvalidInputError, RejectedError, UnavailableError
from tapi_agent.domain.ids import CameraId
from tapi_agent.services.connectivity import POSTGRES
from tapi_agent.services.quotas import LONGEST_TTL, DenialReason, Grant, ReserveRequest, commits

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.quotas.site import Agent, Site


async def test_a_grant_says_what_is_kept_back_and_how_long(site: Site, box: Agent) -> None:
    grant = await box.grant(100, ttl=timedelta(seconds=30), camera_id=CameraId("gate"))
    assert (grant.meter, grant.unit, grant.amount, grant.overage) == (TOKENS, "tokens", 100, False)
    assert (grant.reserved_at, grant.expires_at) == (site.machine.wall(), site.machine.wall() + timedelta(seconds=30))
    assert grant.quota == box.quotas.figures(TOKENS)
    assert box.remaining() == 900


async def test_a_commit_records_one_event_at_the_time_of_the_reservation(site: Site, box: Agent) -> None:
    grant = await box.grant(100, camera_id=CameraId("gate"))
    site.machine.advance(timedelta(seconds=20))
    await box.quotas.commit(grant.reservation_id, Decimal(70), {"resource_id": "opus", "metadata": {"n": 1}})
    (event,) = await box.spool.head(10)
    for part in ('"quantity":70', '"camera_id":"gate"', '"resource_id":"opus"', '"metadata":{"n":1}', "12:00:00Z"):
        assert part in event.canonical
    assert box.remaining() == 930


async def test_a_release_gives_all_of_it_back(box: Agent) -> None:
    grant = await box.grant(100)
    box.quotas.release(grant.reservation_id)
    assert box.remaining() == 1000
    box.quotas.release(grant.reservation_id)
    assert box.remaining() == 1000


async def test_a_release_after_the_commit_changes_nothing(box: Agent) -> None:
    grant = await box.grant(100)
    await box.quotas.commit(grant.reservation_id, Decimal(70))
    box.quotas.release(grant.reservation_id)
    assert box.remaining() == 930


async def test_more_than_is_left_is_denied(site: Site, box: Agent) -> None:
    await box.record(950)
    denial = await box.refusal(60)
    assert (denial.reason, denial.retryable) == (DenialReason.QUOTA_EXCEEDED, False)
    assert denial.quota is not None
    assert (denial.quota.remaining, denial.quota.spent) == (50, False)
    assert "2027-04-01" in denial.fix
    site.machine.advance(timedelta(seconds=2))
    await box.grant(50)


async def test_a_denial_for_what_is_only_reserved_may_be_tried_again(box: Agent) -> None:
    await box.grant(700)
    denial = await box.refusal(400)
    assert (denial.reason, denial.retryable) == (DenialReason.QUOTA_EXCEEDED, True)


async def test_an_abandoned_reservation_returns_at_its_ttl(site: Site, box: Agent) -> None:
    await box.grant(1000, ttl=timedelta(seconds=60))
    await site.later(59, box)
    await box.refusal(1)
    await site.later(1, box)
    await box.grant(1000)


async def test_it_returns_also_to_those_who_come_before_anyone_has_looked(site: Site, box: Agent) -> None:
    await box.grant(1000)
    site.machine.advance(timedelta(seconds=60))
    await box.grant(1000)


async def test_a_commit_after_the_ttl_is_recorded_all_the_same(site: Site, box: Agent) -> None:
    grant = await box.grant(1000)
    await site.later(61, box)
    await box.quotas.commit(grant.reservation_id, Decimal(900))
    assert box.remaining() == 100
    await box.refusal(101)


async def test_a_commit_beyond_the_reservation_is_recorded_and_counts(box: Agent) -> None:
    grant = await box.grant(100)
    await box.quotas.commit(grant.reservation_id, Decimal(990))
    assert box.remaining() == 10
    await box.refusal(11)


async def test_a_repeated_commit_counts_once(box: Agent) -> None:
    grant = await box.grant(100)
    results = await asyncio.gather(
        *(box.quotas.commit(grant.reservation_id, amount) for amount in (70, "70.0", Decimal("7E+1")))
    )
    assert len({(result.event_id, result.seq) for result in results}) == 1
    assert (box.spool.depth, box.remaining()) == (1, 930)


async def test_a_commit_with_another_amount_is_refused(box: Agent) -> None:
    grant = await box.grant(100)
    await box.quotas.commit(grant.reservation_id, Decimal(70))
    with pytest.raises(RejectedError, match="committed with 70") as caught:
        await box.quotas.commit(grant.reservation_id, Decimal(71))
    assert caught.value.code == "reservation_committed"


async def test_of_very_many_commits_the_oldest_are_recorded_again_as_the_same_event(
    box: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_REMEMBERED", 2)
    grants = [await box.grant(1) for _ in range(3)]
    first, *_ = [await box.quotas.commit(grant.reservation_id, 1) for grant in grants]
    assert (await box.quotas.commit(grants[1].reservation_id, 1)).seq == 2
    again = await box.quotas.commit(grants[0].reservation_id, 1)
    assert (again.event_id, again.seq) == (first.event_id, 4)


async def test_a_commit_after_a_restart_is_the_same_event(site: Site, box: Agent) -> None:
    grant = await box.grant(100)
    first = await box.quotas.commit(grant.reservation_id, Decimal(70))
    box.start()
    again = await box.quotas.commit(grant.reservation_id, Decimal(70))
    assert first.event_id == again.event_id
    await box.drain()
    await site.later(601, box)
    await site.later(2, box)
    assert box.remaining() == 930


async def test_a_commit_goes_on_when_its_caller_goes_away(box: Agent) -> None:
    grant = await box.grant(100)
    box.spool.turns = lambda: 3
    caller = asyncio.create_task(box.quotas.commit(grant.reservation_id, Decimal(70)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await ended(caller)
    assert caller.cancelled()
    assert (await box.quotas.commit(grant.reservation_id, Decimal(70))).seq == 1
    assert (box.spool.depth, box.remaining()) == (1, 930)


async def test_a_commit_that_the_disk_did_not_take_may_be_repeated(box: Agent) -> None:
    grant = await box.grant(100)
    box.spool.is_down = True
    with pytest.raises(UnavailableError):
        await box.quotas.commit(grant.reservation_id, Decimal(70))
    box.spool.is_down = False
    assert box.remaining() == 900
    assert (await box.quotas.commit(grant.reservation_id, Decimal(60))).seq == 1
    assert box.remaining() == 940


@pytest.mark.parametrize(
    ("actual", "details", "code", "pointer"),
    [
        (Decimal(-1), {}, "NEGATIVE", "#/actual"),
        ("many", {}, "WRONG_TYPE", "#/actual"),
        (Decimal(1), {"metadata": []}, "WRONG_TYPE", "#/metadata"),
        (Decimal(1), {"event_time": "2027-01-01T00:00:00Z"}, "UNKNOWN_FIELD", "#/event_time"),
    ],
    ids=["negative", "no number", "bad metadata", "another time"],
)
async def test_a_commit_that_cannot_be_recorded_says_where(
    box: Agent, actual: object, details: dict[str, object], code: str, pointer: str
) -> None:
    grant = await box.grant(100)
    with pytest.raises(InvalidInputError) as caught:
        await box.quotas.commit(grant.reservation_id, actual, details)
    assert (caught.value.code, caught.value.pointer) == (code, pointer)
    assert box.remaining() == 900


@pytest.mark.parametrize(
    "forge",
    [
        lambda genuine: genuine[:-4],
        lambda genuine: genuine[:-8] + "AAAAAAAA",
        lambda _: "",
        lambda _: "é",
        lambda _: "A" * 9000,
    ],
    ids=["cut", "changed", "empty", "other letters", "endless"],
)
async def test_a_forged_reservation_is_unknown(box: Agent, forge: Callable[[str], str]) -> None:
    reservation = forge((await box.grant(100)).reservation_id)
    with pytest.raises(InvalidInputError) as released:
        box.quotas.release(reservation)
    with pytest.raises(InvalidInputError) as committed:
        await box.quotas.commit(reservation, Decimal(1))
    for refusal in (released.value, committed.value):
        assert (refusal.code, refusal.pointer) == ("reservation_unknown", "#/reservation_id")
    assert box.remaining() == 900


async def test_the_reservation_of_another_device_is_unknown(site: Site, box: Agent) -> None:
    grant = await site.agent("other").grant(1)
    with pytest.raises(InvalidInputError, match="no agent of this device"):
        box.quotas.release(grant.reservation_id)


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({"amount": Decimal(0)}, "OUT_OF_RANGE", "#/amount"),
        ({"amount": Decimal(-1)}, "OUT_OF_RANGE", "#/amount"),
        ({"amount": Decimal("NaN")}, "NOT_FINITE", "#/amount"),
        ({"amount": Decimal("1e-10")}, "NOT_EXACT", "#/amount"),
        ({"meter": "token"}, "UNKNOWN_METER", "#/meter"),
        ({"meter": "email_sent"}, "METER_DISABLED", "#/meter"),
        ({"camera_id": CameraId("\0")}, "BAD_TEXT", "#/camera_id"),
        ({"ttl": timedelta(0)}, "OUT_OF_RANGE", "#/ttl_s"),
        ({"ttl": LONGEST_TTL + timedelta(seconds=1)}, "OUT_OF_RANGE", "#/ttl_s"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
async def test_a_request_that_could_not_be_recorded_either_is_refused(
    box: Agent, fields: dict[str, object], code: str, pointer: str
) -> None:
    request = {"meter": TOKENS, "amount": Decimal(1)} | fields
    with pytest.raises(InvalidInputError) as caught:
        await box.quotas.reserve(ReserveRequest(**request))  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.pointer) == (code, pointer)


async def test_a_meter_without_a_quota_grants_anything(box: Agent) -> None:
    grant = await box.grant(10**12, "sms_sent")
    assert (grant.quota, grant.overage) == (None, False)
    await box.quotas.commit(grant.reservation_id, Decimal(3))
    box.quotas.release(grant.reservation_id)
    assert box.quotas.figures("sms_sent") is None


async def test_a_soft_quota_grants_beyond_the_limit_and_says_so(box: Agent) -> None:
    assert [(await box.grant(60, CALLS)).overage for _ in range(2)] == [False, True]
    status = next(one for one in box.quotas.statuses() if one.meter == CALLS)
    assert (status.remaining, status.reserved, status.overage, status.soft) == (0, 120, 0, True)
    await box.record(150, CALLS)
    status = next(one for one in box.quotas.statuses() if one.meter == CALLS)
    assert (status.used, status.overage) == (150, 50)


async def test_too_many_open_reservations_are_refused(box: Agent) -> None:
    for _ in range(20_000):
        await box.grant(1, CALLS)
    with pytest.raises(UnavailableError, match="too many"):
        await box.reserve(1, CALLS)


async def test_from_the_hand_nobody_is_asked(site: Site, box: Agent) -> None:
    await box.grant(1)
    site.book.is_down = box.spool.is_down = True
    assert isinstance(await box.reserve(49), Grant)
    assert (await box.refusal(1)).reason is DenialReason.QUOTA_UNAVAILABLE


async def test_without_postgresql_only_the_hand_grants_and_the_denial_says_so(site: Site, box: Agent) -> None:
    site.book.is_down = True
    denial = await box.refusal(1)
    assert (denial.reason, denial.retryable) == (DenialReason.QUOTA_UNAVAILABLE, True)
    await box.grant(5000, CALLS)
    assert not any(status.complete for status in box.quotas.statuses())
    site.book.is_down = False
    await site.later(2, box)
    assert all(status.complete for status in box.quotas.statuses())
    await box.grant(1)


async def test_who_waits_in_line_is_not_made_to_wait_for_the_dead_one_by_one(site: Site, box: Agent) -> None:
    site.book.is_down = True
    site.book.turns = lambda: 100
    calls = site.book.calls
    denials = await asyncio.gather(*(box.refusal(1) for _ in range(50)))
    assert {denial.reason for denial in denials} == {DenialReason.QUOTA_UNAVAILABLE}
    assert site.book.calls <= calls + 1


async def test_while_postgresql_is_known_to_be_down_it_is_not_asked(site: Site, box: Agent) -> None:
    box.connectivity.failed(POSTGRES, UnavailableError("gone"))
    calls = site.book.calls
    assert (await box.refusal(1)).reason is DenialReason.QUOTA_UNAVAILABLE
    assert site.book.calls == calls


async def test_a_spent_quota_is_not_asked_about_by_everyone(site: Site, box: Agent) -> None:
    await box.grant(1000)
    await box.refusal(1)
    calls = site.book.calls
    for _ in range(10):
        await box.refusal(1)
    assert site.book.calls == calls
    site.machine.advance(timedelta(seconds=1))
    await box.refusal(1)
    assert site.book.calls > calls


async def test_many_at_once_get_what_there_is_and_no_more(site: Site, box: Agent) -> None:
    site.book.turns = box.spool.turns = lambda: 1
    answers = await asyncio.gather(*(box.reserve(30) for _ in range(50)))
    assert sum(isinstance(answer, Grant) for answer in answers) == 33
    assert site.staked(box) <= 1000


async def test_after_close_nothing_is_granted_and_the_hand_is_given_back(site: Site, box: Agent) -> None:
    grant = await box.grant(10)
    assert site.staked(box) == 50
    await box.quotas.close()
    assert site.staked(box) == 10
    with pytest.raises(UnavailableError, match="stopping"):
        await box.reserve(1)
    await box.quotas.commit(grant.reservation_id, Decimal(10))


async def test_close_does_not_wait_for_the_dead(site: Site, box: Agent) -> None:
    await box.grant(10)
    site.book.is_down = True
    await box.quotas.close()
    assert site.staked(box) == 50
