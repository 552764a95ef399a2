"""What several runs and several agents leave to each other, period by period, and whose word counts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs
from tests.unit.quotas.site import ACME, BASE, CALLS, METERS, RULES, TOKENS, Site, ended

from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.holder import Holder
from tapi_agent.domain.license import LicenseMode
from tapi_agent.domain.quota import Period, QuotaRule
from tapi_agent.services.quotas import DenialReason, QuotaStatus, Source
from tapi_agent.testing.clock import FakeClock

if TYPE_CHECKING:
    from tests.unit.quotas.site import Agent

    from tapi_agent.ports.quotas import Count, LimitRule, Stake

MIDNIGHT = datetime(2027, 3, 31, 23, 59, 50, tzinfo=UTC)
CORRECTED = {"corrects": "01890a5d-ac96-774b-bcce-b302099a8057"}


def status(agent: Agent, meter: str = TOKENS) -> QuotaStatus:
    return next(one for one in agent.quotas.statuses() if one.meter == meter)


async def test_a_block_is_at_most_a_twentieth_of_the_limit(site: Site, box: Agent) -> None:
    await box.grant(1)
    assert (site.staked(box), status(box).held) == (50, 49)


async def test_the_end_of_a_quota_is_shared_out(site: Site, box: Agent) -> None:
    await box.record(900)
    await box.drain()
    await site.later(2, box)
    await box.grant(1)
    assert status(box).held == 24


async def test_what_one_agent_holds_another_cannot_draw(site: Site, box: Agent) -> None:
    other = site.agent("other")
    await box.grant(1)
    denial = await other.refusal(951)
    assert denial.retryable
    site.machine.advance(timedelta(seconds=2))
    await other.grant(950)


async def test_a_block_that_nobody_uses_is_given_back(site: Site, box: Agent) -> None:
    await box.grant(1)
    await site.later(29, box)
    assert status(box).held == 49
    await site.later(2, box)
    assert (status(box).held, site.staked(box)) == (0, 1)


async def test_a_block_in_use_is_kept(site: Site, box: Agent) -> None:
    await box.grant(1, ttl=timedelta(minutes=10))
    for _ in range(3):
        await site.later(20, box)
        await box.record(1)
    assert status(box).held == 46


async def test_usage_that_nobody_asked_for_takes_from_the_block(site: Site, box: Agent) -> None:
    await box.grant(10)
    await box.record(40)
    assert (status(box).held, status(box).used, box.remaining()) == (0, 40, 950)


async def test_usage_beyond_the_block_is_reported_and_no_longer_owed(site: Site, box: Agent) -> None:
    await box.record(300)
    await site.later(2, box)
    assert site.staked(box) == 300
    await box.drain()
    await site.later(2, box)
    assert (site.staked(box), box.remaining()) == (0, 700)
    await box.grant(700)


async def test_a_report_between_spool_and_database_counts_an_event_twice_for_the_others_and_once_for_people(
    site: Site, box: Agent
) -> None:
    other = site.agent("other")
    await box.record(100)
    head = await box.spool.head(10)
    await site.book.keep(head)
    await site.later(2, box, other)
    assert (site.staked(box), status(box).used, status(other).used) == (100, 100, 100)
    await box.drain()
    await site.later(2, box)
    assert (site.staked(box), status(box).used) == (0, 100)


async def test_there_is_no_sum_while_the_spool_moves(site: Site, box: Agent) -> None:
    box.quotas.apply(RULES[:1], METERS)
    await box.record(100)
    before = box.ledger.calls

    def drained_behind_the_count() -> int:
        if box.ledger.calls > before:
            box.disk.waiting.clear()
            box.disk.drained_seq = 1
        return 0

    box.spool.turns = drained_behind_the_count
    await site.later(2, box)
    assert (box.disk.drained_seq, status(box).used) == (1, 100)


async def test_a_correction_frees_what_it_takes_back_once_it_is_in_the_totals(site: Site, box: Agent) -> None:
    await box.record(1000)
    await box.drain()
    await site.later(2, box)
    await box.record(-300, **CORRECTED)
    await site.later(2, box)
    assert (box.remaining(), site.staked(box)) == (300, 300)
    await box.refusal(1)
    await box.drain()
    await site.later(2, box)
    await box.grant(300)


async def test_what_other_agents_use_is_seen_within_half_a_minute(site: Site, box: Agent) -> None:
    other = site.agent("other")
    await other.record(400)
    await other.drain()
    await other.grant(7)
    await site.later(2, other)
    assert box.remaining() == 1000
    await site.later(28, box)
    assert (box.remaining(), status(box).reserved) == (593, 7)


async def test_what_changes_during_a_report_is_in_the_next_one(site: Site, box: Agent) -> None:
    box.quotas.apply(RULES[:1], METERS)
    site.book.turns = lambda: 10
    site.machine.advance(timedelta(seconds=31))
    report = asyncio.create_task(box.quotas.look())
    await asyncio.sleep(0)
    await box.record(100)
    assert not report.done()
    await report
    assert site.staked(box) == 0
    await site.later(2, box)
    assert site.staked(box) == 100


async def test_after_an_outage_the_drain_is_not_slowed_down_by_counting(site: Site, box: Agent) -> None:
    await box.metering.record_many([{"event_type": TOKENS, "quantity": 0}] * 10_000)
    await box.record(10)
    await site.later(29, box)
    assert site.staked(box) == 0
    await site.later(1, box)
    assert site.staked(box) == 10


async def test_nothing_is_written_while_nothing_changes(site: Site, box: Agent) -> None:
    calls = site.book.calls
    await site.later(10, box)
    assert site.book.calls == calls


async def test_a_stake_left_by_a_killed_run_counts_for_ten_minutes(site: Site, box: Agent) -> None:
    await box.grant(600, ttl=timedelta(minutes=10))
    box.start()
    assert (await box.refusal(401)).retryable
    assert (site.staked(box), status(box).reserved) == (600, 0)
    await site.later(599, box)
    await box.refusal(401)
    await site.later(1, box)
    await box.grant(401)


async def test_reservations_that_were_reported_stay_reserved_through_a_restart(site: Site, box: Agent) -> None:
    await box.grant(600, ttl=timedelta(minutes=10))
    await site.later(2, box)
    box.start()
    await box.quotas.look()
    assert (box.remaining(), status(box).reserved) == (400, 600)


async def test_after_a_graceful_stop_nothing_is_left(site: Site, box: Agent) -> None:
    box.quotas.release((await box.grant(600)).reservation_id)
    await box.quotas.close()
    box.start()
    await box.grant(1000)


async def test_events_of_a_former_run_are_found_in_the_spool(site: Site, box: Agent) -> None:
    await box.record(300)
    box.start()
    await box.quotas.look()
    assert box.remaining() == 700


async def test_a_draw_whose_answer_is_lost_grants_nothing_and_comes_back(site: Site, box: Agent) -> None:
    site.book.loses_answers = True
    assert (await box.refusal(10)).reason is DenialReason.QUOTA_UNAVAILABLE
    assert site.staked(box) == 50
    site.book.loses_answers = False
    await site.later(30, box)
    assert site.staked(box) == 0


async def test_an_event_counts_although_its_recorder_has_gone_away(site: Site, box: Agent) -> None:
    await box.grant(10)
    box.spool.turns = lambda: 3
    recorder = asyncio.create_task(box.record(40))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await ended(recorder)
    async with asyncio.timeout(5):
        while status(box).used < 40:
            await asyncio.sleep(0)
    assert status(box).held == 0


async def test_usage_of_other_tenants_and_times_counts_elsewhere(site: Site, box: Agent) -> None:
    await box.grant(10)
    await box.record(1, tenant_id="other")
    assert status(box).held == 40
    await box.record(2, event_time=site.machine.wall() - timedelta(days=2))
    await box.record(4, "sms_sent")
    await site.later(2, box)
    assert (box.remaining(), site.staked(box)) == (990, 50)


async def test_a_new_period_begins_by_trusted_time_and_the_old_one_waits_for_its_reservations() -> None:
    site = Site(machine=FakeClock(MIDNIGHT))
    box = site.agent()
    await box.quotas.look()
    assert status(box).resets_at == datetime(2027, 4, 1, tzinfo=UTC)
    grant = await box.grant(600)
    await site.later(10, box)
    assert box.remaining() == 1000
    await box.quotas.commit(grant.reservation_id, Decimal(600))
    assert box.remaining() == 1000
    await box.drain()
    await site.later(2, box)
    (march,) = [key for key, _ in site.book.stakes if key.meter == TOKENS and key.window.start.month == 3]
    assert (site.book.used(march), site.staked(box)) == (600, 0)
    await site.later(2, box)
    assert all(account.key != march for account in box.quotas._accounts)
    await box.grant(1000)


async def test_a_period_without_reservations_ends_at_once_and_its_block_with_it() -> None:
    site = Site(machine=FakeClock(MIDNIGHT))
    box = site.agent()
    await box.quotas.look()
    box.quotas.release((await box.grant(1)).reservation_id)
    assert site.staked(box) == 50
    await site.later(10, box)
    await site.later(2, box)
    assert (site.staked(box), {account.key.window.start.month for account in box.quotas._accounts}) == (0, {4})


async def test_a_period_that_ends_while_somebody_draws_on_it_is_looked_after() -> None:
    site = Site(machine=FakeClock(MIDNIGHT))
    box = site.agent()
    await box.quotas.look()
    site.book.turns = lambda: 5
    reserving = asyncio.create_task(box.grant(600))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await site.later(10, box)
    grant = await reserving
    assert (grant.reserved_at, site.staked(box)) == (MIDNIGHT, 600)
    box.quotas.release(grant.reservation_id)
    await site.later(2, box)
    assert site.staked(box) == 0


async def test_a_day_is_a_period_too(site: Site, box: Agent) -> None:
    assert status(box, CALLS).resets_at == datetime(2027, 3, 2, tzinfo=UTC)


async def test_the_services_word_counts_before_the_rule(site: Site, box: Agent) -> None:
    await box.record(120)
    await box.drain()
    site.book.sync()
    await box.record(30)
    await box.drain()
    await box.hear(50)
    assert (status(box).source, status(box).limit, box.remaining()) == (Source.SERVICE, 170, 20)
    await box.refusal(21)
    site.machine.advance(timedelta(seconds=2))
    await box.grant(20)


async def test_what_is_in_hand_beyond_a_lowered_limit_is_given_back(site: Site, box: Agent) -> None:
    await box.grant(1)
    await box.hear(0)
    assert (status(box).held, box.remaining()) == (0, 0)
    await box.refusal(1)


async def test_that_nothing_is_left_of_a_soft_quota_does_not_hide_by_how_much_it_is_exceeded(box: Agent) -> None:
    await box.record(140, CALLS)
    await box.drain()
    await box.hear(0, CALLS)
    assert (status(box, CALLS).limit, status(box, CALLS).overage) == (100, 40)
    await box.hear(70, CALLS)
    assert status(box, CALLS).source is Source.SERVICE


async def test_an_unlimited_word_grants_anything(site: Site, box: Agent) -> None:
    await box.hear(-1)
    grant = await box.grant(10**9)
    assert grant.quota is not None
    assert (grant.quota.limit, grant.quota.remaining, grant.overage, grant.quota.spent) == (-1, -1, False, False)
    assert status(box).overage == 0


async def test_a_word_of_an_earlier_period_is_ignored() -> None:
    site = Site(machine=FakeClock(MIDNIGHT))
    box = site.agent()
    asked = await box.quotas.asking(TOKENS)
    assert asked is not None
    await site.later(20, box)
    await box.quotas.told(asked, Decimal(0))
    assert (status(box).source, box.remaining()) == (Source.RULE, 1000)


async def test_a_word_on_a_meter_without_a_quota_or_without_postgresql_means_nothing(site: Site, box: Agent) -> None:
    assert await box.quotas.asking("sms_sent") is None
    asked = await box.quotas.asking(TOKENS)
    assert asked is not None
    site.book.is_down = True
    assert await box.quotas.asking(TOKENS) is None
    await box.quotas.told(asked, Decimal(5))
    site.book.is_down = False
    await site.later(31, box)
    assert box.remaining() == 1000


@pytest.mark.parametrize(
    ("holder", "limit"),
    [
        (BASE, 1000),
        (replace(BASE, mode=LicenseMode.TRIAL), 200),
        (replace(BASE, packs=frozenset({"base", "intelligence"})), 1500),
        (replace(BASE, mode=LicenseMode.TRIAL, packs=frozenset({"intelligence"})), 700),
        (Holder(mode=LicenseMode.BASE, packs=frozenset({"intelligence"})), 1000),
    ],
    ids=["base", "trial", "with a pack", "trial with a pack", "lapsed"],
)
async def test_the_limit_follows_what_the_tenant_holds(site: Site, box: Agent, holder: Holder, limit: int) -> None:
    box.holder = holder
    await site.later(1, box)
    assert status(box).limit == limit
    await box.refusal(limit + 1)


async def test_new_rules_count_at_once_and_those_gone_limit_nothing(site: Site, box: Agent) -> None:
    await box.grant(1)
    await box.grant(1, CALLS)
    box.quotas.apply([QuotaRule(meter=CALLS, limit=5), QuotaRule(meter="fax_sent", limit=5)], METERS)
    await site.later(2, box)
    assert [(one.meter, one.limit, one.period, one.soft) for one in box.quotas.statuses()] == [
        (CALLS, 5, Period.MONTH, False)
    ]
    assert box.quotas.figures(TOKENS) is None
    await box.grant(10**6)
    await box.refusal(6, CALLS)
    await site.later(61, box)
    await site.later(2, box)
    assert {account.key.meter for account in box.quotas._accounts} == {CALLS}


async def test_an_event_counts_in_the_old_period_and_in_the_new_while_both_are_there(site: Site, box: Agent) -> None:
    await box.grant(1, CALLS)
    box.quotas.apply([replace(RULES[2], period=Period.MONTH)], METERS)
    await box.record(3, CALLS)
    await site.later(2, box)
    assert status(box, CALLS).used == 3
    assert site.staked(box, CALLS) == 3 + 4


async def test_the_figures_are_shown_in_redis_and_losing_them_loses_nothing(site: Site, box: Agent) -> None:
    await box.grant(1)
    await site.later(2, box)
    shown = await box.cache.get(f"tapi:quota:{ACME}:{TOKENS}")
    assert shown is not None
    assert json.loads(shown)["remaining"] == "999"
    box.cache.flush()
    assert box.remaining() == 999
    box.cache.go_down()
    await box.grant(1)
    await site.later(2, box)
    assert box.remaining() == 998


async def test_a_quota_that_is_used_up_is_told_once_a_period() -> None:
    site = Site(machine=FakeClock(MIDNIGHT - timedelta(seconds=40)))
    box = site.agent()
    with capture_logs() as logs:
        await box.record(999)
        await site.later(2, box)
        assert logs == []
        await box.record(1)
        await box.record(1000, CALLS)
        await site.later(2, box)
        await site.later(31, box)
    told = {line["meter"]: (line["event"], line["limit"], line["used"], line["soft"]) for line in logs}
    assert told == {TOKENS: ("quota.used_up", "1000", "1000", False), CALLS: ("quota.used_up", "100", "1000", True)}
    assert len(logs) == 2


async def test_a_refusal_by_the_database_is_told_and_the_others_are_looked_after(site: Site, box: Agent) -> None:
    draw = box.ledger.draw

    async def refuse_tokens(rule: LimitRule, stake: Stake, **asked: Any) -> Count:
        if rule.key.meter == TOKENS:
            raise RejectedError("no such column", code="rejected")
        return await draw(rule, stake, **asked)

    box.ledger.draw = refuse_tokens
    await box.record(1)
    await box.record(1, CALLS)
    with capture_logs() as logs:
        await site.later(2, box)
    assert [(line["event"], line["meter"], line["error"]) for line in logs] == [
        ("quota.not_reported", TOKENS, "no such column")
    ]
    assert site.staked(box, CALLS) == 1


async def test_run_looks_as_soon_as_it_is_woken(site: Site, box: Agent) -> None:
    running = asyncio.create_task(box.quotas.run())
    await box.record(10)
    site.machine.advance(timedelta(seconds=2))
    box.quotas.wake()
    async with asyncio.timeout(5):
        while site.staked(box) != 10:
            await asyncio.sleep(0)
    await ended(running)
