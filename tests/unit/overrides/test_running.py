"""``run`` over hours of virtual time: how often the service is asked, in peace, in an outage, and by whose order."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.overrides.conftest import FRESH, NO, YES, Desk, MemoryOverrides, T, TrustedNow, in_virtual_time

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.override import Override
from tapi_agent.services.connectivity import BILLING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tapi_agent.services.overrides import Overrides

SMS, API, DWELL = "outputs.sms", "outputs.api", "analytics.dwell"
HOUR = timedelta(hours=1)


@asynccontextmanager
async def running(overrides: Overrides) -> AsyncIterator[None]:
    task = asyncio.create_task(overrides.run())
    try:
        yield
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError)


def new_desk(**changed: object) -> Desk:
    return Desk(clock=TrustedNow(goes=True), **changed)  # type: ignore[arg-type]


async def passes(time: timedelta) -> None:
    await asyncio.sleep(time.total_seconds())


def test_a_word_is_refreshed_every_five_minutes_by_itself() -> None:
    async def main() -> None:
        desk = new_desk()
        desk.billing.answer_feature(SMS, YES)
        async with running(await desk.boot(SMS)):
            await passes(HOUR + FRESH / 2)
        assert desk.asked() == [SMS] * 13
        assert desk.store.saves == 13

    in_virtual_time(main())


def test_nobody_who_gets_interested_has_to_wait_for_the_next_round() -> None:
    async def main() -> None:
        desk = new_desk()
        desk.billing.answer_feature(API, YES)
        overrides = await desk.boot(SMS)
        async with running(overrides):
            await passes(FRESH / 2)
            overrides.interested(API)
            await passes(timedelta(seconds=2))
            assert desk.asked() == [SMS, API]
            assert overrides.view()[API].enabled

    in_virtual_time(main())


def test_words_outlive_an_outage_which_is_not_hammered_and_are_renewed_when_it_ends() -> None:
    async def main() -> None:
        desk = new_desk(entropy=lambda size: b"\x80" + bytes(size - 1))
        desk.billing.answer_feature(SMS, NO)
        overrides = await desk.boot(SMS)
        async with running(overrides):
            await passes(timedelta(minutes=1))
            said = overrides.view()
            desk.billing.offline()
            await passes(24 * HOUR)
            assert (overrides.view() is said, desk.store.saves) == (True, 1)
            assert 24 * 12 < len(desk.asked()) < 24 * 12 * 2 + 20
            desk.billing.online()
            desk.billing.answer_feature(SMS, YES)
            desk.connectivity.succeeded(BILLING)
            await passes(timedelta(seconds=2))
            assert overrides.view()[SMS].enabled

    in_virtual_time(main())


def test_during_an_outage_new_interest_waits_like_all_the_others() -> None:
    async def main() -> None:
        desk = new_desk(entropy=lambda size: b"\xff" * size)
        desk.billing.offline()
        overrides = await desk.boot(SMS)
        async with running(overrides):
            await passes(HOUR)
            desk.asked()
            overrides.interested(API)
            await passes(timedelta(seconds=2))
            assert desk.asked() == []
            desk.billing.online()
            await passes(FRESH + timedelta(seconds=2))
            assert desk.asked() == [SMS, API]
            overrides.interested(DWELL)
            await passes(timedelta(seconds=2))
            assert desk.asked() == [DWELL]

    in_virtual_time(main())


def test_what_the_service_wishes_holds_whoever_wakes_us() -> None:
    async def main() -> None:
        desk = new_desk()
        desk.billing.answer_feature(SMS, UnavailableError("429", fix="", retry_after=timedelta(minutes=3)))
        overrides = await desk.boot(SMS)
        async with running(overrides):
            await passes(timedelta(seconds=1))
            desk.billing.answer_feature(SMS, YES)
            overrides.wake()
            await passes(timedelta(minutes=2))
            assert desk.asked() == [SMS]
            await passes(timedelta(minutes=1))
            assert desk.asked() == [SMS]
            assert overrides.view()[SMS].enabled

    in_virtual_time(main())


def test_no_wish_of_the_service_silences_us_for_a_day() -> None:
    async def main() -> None:
        desk = new_desk()
        desk.billing.answer_feature(SMS, UnavailableError("429", fix="", retry_after=timedelta(days=365)))
        async with running(await desk.boot(SMS)):
            await passes(HOUR)
        assert len(desk.asked()) == 4

    in_virtual_time(main())


def test_a_storm_of_news_is_one_round_a_second() -> None:
    async def main() -> None:
        desk = new_desk()
        overrides = await desk.boot(SMS)
        async with running(overrides):
            for _ in range(1000):
                overrides.wake()
                await passes(timedelta(milliseconds=10))
        assert 10 <= len(desk.asked()) <= 12

    in_virtual_time(main())


def test_a_license_that_comes_into_force_is_noticed_without_being_told() -> None:
    async def main() -> None:
        desk = new_desk(in_force=lambda: False)
        overrides = await desk.boot(SMS)
        async with running(overrides):
            await passes(HOUR)
            assert desk.asked() == []
            desk.in_force = lambda: True
            await passes(timedelta(seconds=10))
            assert desk.asked() == [SMS]

    in_virtual_time(main())


def test_a_clock_that_jumps_is_noticed_within_seconds() -> None:
    async def main() -> None:
        desk = new_desk()
        async with running(await desk.boot(SMS)):
            await passes(timedelta(seconds=30))
            desk.clock.at += HOUR  # suspended, as the loop does not notice
            await passes(timedelta(seconds=10))
        assert desk.asked() == [SMS, SMS]

    in_virtual_time(main())


def test_where_no_unsigned_word_counts_nothing_is_asked_and_nothing_is_believed() -> None:
    async def main() -> None:
        kept = MemoryOverrides([Override(feature=SMS, enabled=False, asked_at=T)])
        desk = new_desk(asks=False, store=kept)
        overrides = await desk.boot(SMS, API)
        async with running(overrides):
            overrides.wake()
            await passes(HOUR)
        assert (desk.asked(), overrides.view(), overrides.generation) == ([], {}, 0)

    in_virtual_time(main())


@pytest.mark.parametrize(
    ("age", "asked"), [pytest.param(FRESH / 2, [], id="fresh"), pytest.param(FRESH, [SMS], id="stale")]
)
def test_a_restart_goes_on_with_the_words_of_before(age: timedelta, asked: list[str]) -> None:
    async def main() -> None:
        known = Override(feature=SMS, enabled=False, asked_at=T - age)
        desk = new_desk(store=MemoryOverrides([known]))
        overrides = await desk.boot()
        assert overrides.view() == {SMS: known}
        overrides.interested(SMS)
        async with running(overrides):
            await passes(timedelta(seconds=1))
        assert desk.asked() == asked

    in_virtual_time(main())
