"""One suite for the counters of quotas: the fake and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from tests.contract.quotas.conftest import ACME, BOX, MONTH, OTHER, RULE, STREAMS, Site, stake

from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.domain.quota import Period, window_at
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from tapi_agent.ports.quotas import Count, LimitRule, Stake

SECOND = timedelta(seconds=1)
NOTHING = stake(0)


async def draw(
    site: Site,
    wanted: int = 0,
    *,
    needed: int = 0,
    own: Stake = NOTHING,
    device: DeviceId = BOX,
    rule: LimitRule = RULE,
) -> Count:
    return await site.ledger(device).draw(
        rule, own, needed=Decimal(needed), wanted=Decimal(wanted), stream=STREAMS.get(device)
    )


async def hear(site: Site, remaining: int, *, settled: Decimal, after: timedelta = SECOND) -> None:
    await site.ledger().heard(RULE, remaining=Decimal(remaining), settled=settled, said_at=START + after)


async def test_an_untouched_quota_counts_nothing(site: Site) -> None:
    count = await draw(site)
    assert (count.limit, count.said, count.used, count.outstanding, count.reserved) == (1000, False, 0, 0, 0)
    assert (count.taken, count.drained_seq) == (0, 0)


@pytest.mark.parametrize(
    ("needed", "wanted", "taken"),
    [(1, 100, 100), (1, 400, 300), (300, 300, 300), (301, 400, 0), (0, 0, 0)],
    ids=["what is wanted", "what is there", "all of it", "too little is nothing", "only a report"],
)
async def test_a_draw_takes_what_is_wanted_and_free(site: Site, needed: int, wanted: int, taken: int) -> None:
    await site.use(400)
    await draw(site, own=stake(200), device=OTHER)
    count = await draw(site, wanted, needed=needed, own=stake(100, 60))
    assert (count.used, count.outstanding, count.taken) == (400, 200, taken)
    assert (await site.ledger().stakes(ACME))[MONTH] == stake(100 + taken, 60)


async def test_what_other_devices_have_at_stake_is_theirs_alone(site: Site) -> None:
    await draw(site, 100, needed=1, own=stake(5, 3), device=OTHER)
    count = await draw(site, own=stake(7, 7))
    assert (count.outstanding, count.reserved) == (105, 3)
    assert await site.ledger().stakes(ACME) == {MONTH: stake(7, 7)}
    assert await site.ledger().stakes(TenantId("somebody else")) == {}


@pytest.mark.parametrize("rule", [replace(RULE, soft=True), replace(RULE, limit=-1)], ids=["soft", "unlimited"])
async def test_what_does_not_refuse_gives_all_that_is_wanted(site: Site, rule: LimitRule) -> None:
    await site.use(5000)
    assert (await draw(site, 70, needed=1, rule=rule)).taken == 70


async def test_nothing_is_drawn_from_a_disabled_quota(site: Site) -> None:
    assert (await draw(site, 1, needed=1, rule=replace(RULE, limit=0))).taken == 0


async def test_a_changed_rule_counts_from_the_next_draw(site: Site) -> None:
    await draw(site, 900, needed=1)
    assert (await draw(site, 500, needed=500, own=stake(900), rule=replace(RULE, limit=1400))).taken == 500


async def test_usage_counts_in_its_period_tenant_and_meter_billable_or_not(site: Site) -> None:
    await site.use(1, 2)
    await site.use(40, billable=False)
    await site.use(100, event_time=MONTH.window.start)
    await site.use(5000, event_time=MONTH.window.start - SECOND)
    await site.use(6000, event_time=MONTH.window.start - timedelta(days=1), device=OTHER)
    await site.use(7000, event_type="api_call")
    await site.use(8000, tenant_id="somebody else")
    assert (await draw(site)).used == 143
    earlier = replace(MONTH, window=window_at(MONTH.window.start - SECOND, Period.MONTH))
    assert (await draw(site, rule=replace(RULE, key=earlier))).used == 11_000
    today = replace(MONTH, window=window_at(START, Period.DAY))
    first = replace(MONTH, window=window_at(MONTH.window.start - SECOND, Period.DAY))
    assert (await draw(site, rule=replace(RULE, key=today))).used == 143
    assert (await draw(site, rule=replace(RULE, key=first))).used == 11_000


async def test_stakes_are_of_one_period_each(site: Site) -> None:
    day = replace(MONTH, window=window_at(START, Period.DAY))
    await draw(site, own=stake(10))
    await draw(site, own=stake(20, 1), rule=replace(RULE, key=day))
    assert await site.ledger().stakes(ACME) == {MONTH: stake(10), day: stake(20, 1)}


async def test_a_count_says_up_to_where_the_stream_is_in_it(site: Site) -> None:
    last = await site.use(1, 2, 3)
    await site.use(4, device=OTHER)
    assert (await draw(site)).drained_seq == last
    assert (await site.ledger().draw(RULE, NOTHING, needed=Decimal(0), wanted=Decimal(0), stream=None)).drained_seq == 0


async def test_two_who_draw_at_once_never_get_more_than_there_is(site: Site) -> None:
    counts = await asyncio.gather(
        *(draw(site, 150, needed=150, device=device) for device in (BOX, OTHER)),
        *(draw(site, 150, needed=150, device=DeviceId(str(n))) for n in range(8)),
    )
    assert sorted(count.taken for count in counts) == [0] * 4 + [150] * 6


async def test_decimals_are_exact(site: Site) -> None:
    tiny = Decimal("0.000000001")
    rule = replace(RULE, limit=1)
    count = await site.ledger().draw(rule, NOTHING, needed=tiny, wanted=1 - tiny, stream=None)
    assert count.taken == Decimal("0.999999999")
    again = await site.ledger(OTHER).draw(rule, NOTHING, needed=tiny, wanted=Decimal(1), stream=None)
    assert again.taken == tiny


async def test_what_is_under_way_is_not_settled(site: Site) -> None:
    await site.use(100)
    await site.deliver()
    await site.use(20, 3)
    await site.use(4000, billable=False)
    assert await site.ledger().settled(MONTH) == 100
    await site.seal()
    await site.use(5)
    assert await site.ledger().settled(MONTH) == 100
    await site.deliver()
    assert await site.ledger().settled(MONTH) == 128


async def test_the_services_word_is_the_limit_and_does_not_forget_what_is_under_way(site: Site) -> None:
    await site.use(100)
    await site.deliver()
    await site.use(20)
    await hear(site, 50, settled=await site.ledger().settled(MONTH))
    count = await draw(site, 1000, needed=1)
    assert (count.limit, count.said, count.used, count.taken) == (150, True, 120, 30)


async def test_six_thousand_unsettled_events_count_when_the_word_comes(site: Site) -> None:
    await site.use(*[1] * 500)
    await site.deliver()
    for _ in range(6):
        await site.use(*[1] * 1000)
    big = replace(RULE, limit=50_000)
    await hear(site, 49_500, settled=await site.ledger().settled(MONTH))
    count = await draw(site, rule=big)
    assert (count.limit, count.used, count.limit - count.used) == (50_000, 6_500, 43_500)
    await site.deliver()
    await hear(site, 43_500, settled=await site.ledger().settled(MONTH), after=2 * SECOND)
    count = await draw(site, rule=big)
    assert count.limit - count.used == 43_500


@pytest.mark.parametrize(
    ("remaining", "limit"), [(-1, -1), (0, 100), (-70, 30), (-500, 0)], ids=["unlimited", "spent", "over", "far over"]
)
async def test_words_without_anything_left(site: Site, remaining: int, limit: int) -> None:
    await hear(site, remaining, settled=Decimal(100))
    assert (await draw(site)).limit == limit


async def test_an_older_word_changes_nothing_and_a_newer_one_replaces_it(site: Site) -> None:
    await hear(site, 50, settled=Decimal(1), after=2 * SECOND)
    await hear(site, 70, settled=Decimal(2))
    assert (await draw(site)).limit == 51
    await hear(site, 80, settled=Decimal(3), after=3 * SECOND)
    assert (await draw(site)).limit == 83


async def test_a_word_is_of_one_period_only(site: Site) -> None:
    await hear(site, 50, settled=Decimal(1))
    following = replace(MONTH, window=window_at(MONTH.window.end, Period.MONTH))
    count = await draw(site, rule=replace(RULE, key=following))
    assert (count.limit, count.said) == (1000, False)
