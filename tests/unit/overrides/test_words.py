"""What is asked, what an answer comes to, and what is no answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs
from tests.unit.overrides.conftest import FRESH, NO, YES, T

from tapi_agent.domain.errors import IntegrityError, RejectedError, TapiError, UnavailableError
from tapi_agent.domain.override import Override
from tapi_agent.ports.billing import FeatureReply
from tapi_agent.services.connectivity import BILLING
from tapi_agent.testing.billing import GOOD

if TYPE_CHECKING:
    from tests.unit.overrides.conftest import Desk

SMS, API = "outputs.sms", "outputs.api"
SECOND = timedelta(seconds=1)
NEW_YEAR = T.replace(year=2028, month=1, day=1)
MANY = [f"analytics.f{number}" for number in range(20)]
NO_ANSWERS = [
    pytest.param(UnavailableError("a captive portal", fix=""), id="unavailable"),
    pytest.param(IntegrityError("is_enabled is 1", fix="tell them"), id="malformed"),
    pytest.param(RejectedError("feature_name: too long", code="bad_request"), id="refused"),
]


async def test_nothing_is_asked_until_somebody_is_interested(desk: Desk) -> None:
    overrides = await desk.boot()
    await overrides.ask()
    assert (desk.asked(), overrides.view()) == ([], {})


async def test_the_word_on_a_feature_of_interest(desk: Desk) -> None:
    desk.billing.answer_feature(SMS, FeatureReply(is_enabled=True, valid_until=NEW_YEAR))
    overrides = await desk.boot(SMS, SMS)
    await overrides.ask()
    assert desk.asked() == [SMS]
    assert overrides.view() == {SMS: Override(feature=SMS, enabled=True, asked_at=T, valid_until=NEW_YEAR)}
    assert desk.connectivity.report()[BILLING].up is True


@pytest.mark.parametrize(
    ("chance", "age"), [pytest.param(b"\0", FRESH, id="soonest"), pytest.param(b"\xff", FRESH * 1.1, id="latest")]
)
async def test_a_word_is_fresh_for_five_minutes_and_then_asked_for_again(
    desk: Desk, chance: bytes, age: timedelta
) -> None:
    desk.entropy = lambda size: chance * size
    desk.billing.answer_feature(SMS, YES)
    overrides = await desk.boot(SMS)
    for at, asked in ((T, [SMS]), (T + age - SECOND, []), (T + age, [SMS]), (T + 2 * age - SECOND, [])):
        desk.clock.at = at
        await overrides.ask()
        assert desk.asked() == asked, at


async def test_a_clock_set_back_makes_words_stale_and_not_eternal(desk: Desk) -> None:
    desk.billing.answer_feature(SMS, YES)
    overrides = await desk.boot(SMS)
    await overrides.ask()
    desk.clock.at = T - timedelta(days=365)
    await overrides.ask()
    assert desk.asked() == [SMS, SMS]
    assert overrides.view()[SMS].asked_at == desk.clock.at


async def test_the_table_of_words_is_shared_and_never_changes_under_a_reader(desk: Desk) -> None:
    desk.billing.answer_feature(SMS, YES)
    overrides = await desk.boot(SMS)
    await overrides.ask()
    seen = overrides.view()
    assert overrides.view() is seen
    with pytest.raises(TypeError):
        seen[API] = seen[SMS]
    desk.billing.answer_feature(SMS, NO)
    overrides.wake()
    await overrides.ask()
    assert (seen[SMS].enabled, overrides.view()[SMS].enabled) == (True, False)


@pytest.mark.parametrize(
    ("first", "then", "rises"),
    [
        pytest.param(YES, YES, False, id="the same grant"),
        pytest.param(NO, NO, False, id="the same denial"),
        pytest.param(NO, replace(NO, valid_until=NEW_YEAR), False, id="a denial has no end"),
        pytest.param(YES, NO, True, id="denied"),
        pytest.param(NO, YES, True, id="granted"),
        pytest.param(YES, replace(YES, valid_until=NEW_YEAR), True, id="ends"),
        pytest.param(YES, RejectedError("unknown", code="not_found"), True, id="forgotten"),
        pytest.param(YES, IntegrityError("odd"), False, id="no answer"),
    ],
)
async def test_the_generation_rises_with_the_effect_of_a_word(
    desk: Desk, first: FeatureReply, then: FeatureReply | TapiError, *, rises: bool
) -> None:
    desk.billing.answer_feature(SMS, first)
    overrides = await desk.boot(SMS)
    told: list[int] = []
    overrides.on_change(lambda: told.append(overrides.generation))
    await overrides.ask()
    desk.billing.answer_feature(SMS, then)
    overrides.wake()
    await overrides.ask()
    assert told == ([1, 2] if rises else [1])


async def test_a_feature_that_the_service_does_not_know_has_no_word_any_more(desk: Desk) -> None:
    desk.billing.answer_feature(SMS, NO)
    overrides = await desk.boot(SMS)
    await overrides.ask()
    desk.billing.answer_feature(SMS, RejectedError("no product has it", code="not_found"))
    desk.clock.at += FRESH
    with capture_logs() as logs:
        await overrides.ask()
    assert overrides.view() == {}
    assert [line["gone"] for line in logs if line["event"] == "overrides.changed"] == [[SMS]]
    desk.clock.at += FRESH - SECOND
    await overrides.ask()
    assert desk.asked() == [SMS, SMS]
    desk.clock.at += SECOND
    desk.billing.answer_feature(SMS, NO)
    await overrides.ask()
    assert overrides.view()[SMS].enabled is False


@pytest.mark.parametrize("error", NO_ANSWERS)
async def test_no_answer_leaves_the_word_as_it_is(desk: Desk, error: TapiError) -> None:
    desk.billing.answer_feature(SMS, NO)
    overrides = await desk.boot(SMS)
    await overrides.ask()
    before = overrides.view()[SMS]
    desk.billing.answer_feature(SMS, error)
    desk.clock.at += timedelta(days=400)
    await overrides.ask()
    assert desk.asked() == [SMS, SMS]
    assert overrides.view() == {SMS: before}


async def test_an_odd_answer_is_no_answer_for_its_feature_only_and_is_logged_once_a_round(desk: Desk) -> None:
    overrides = await desk.boot(*MANY)
    for feature in MANY[1:]:
        desk.billing.answer_feature(feature, YES)
    desk.billing.answer_feature(MANY[0], IntegrityError("is_enabled is 1", fix="tell them"))
    with capture_logs() as logs:
        await overrides.ask()
    assert set(overrides.view()) == set(MANY[1:])
    (complaint,) = [line for line in logs if line["event"] == "overrides.no_answer"]
    assert (complaint["first"], complaint["fix"], complaint["features"]) == (MANY[0], "tell them", 1)
    await overrides.ask()
    assert len(desk.asked()) == len(MANY)
    assert desk.connectivity.report()[BILLING].up is True


async def test_silence_ends_the_round_and_what_was_not_answered_is_asked_first_again(desk: Desk) -> None:
    overrides = await desk.boot(*MANY)
    for feature in MANY:
        desk.billing.answer_feature(feature, YES)
    desk.billing.answer_feature(MANY[6], UnavailableError("timeout", fix=""))
    await overrides.ask()
    first = desk.asked()
    assert len(first) < len(MANY)
    assert desk.connectivity.report()[BILLING].up is not None
    assert set(overrides.view()) == set(first) - {MANY[6]}
    desk.billing.answer_feature(MANY[6], YES)
    await overrides.ask()
    assert sorted(desk.asked()) == sorted({*MANY} - set(first) | {MANY[6]})
    assert set(overrides.view()) == set(MANY)


async def test_only_a_few_are_asked_about_at_once(desk: Desk) -> None:
    desk.billing.slow()
    overrides = await desk.boot(*MANY)
    asking = asyncio.create_task(overrides.ask())
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(desk.asked()) == 4
    desk.billing.online()
    await asking
    assert len(desk.asked()) == 16


# --- a license that is not in force ---


async def test_nothing_is_asked_while_no_license_is_in_force(desk: Desk) -> None:
    desk.in_force = lambda: False
    overrides = await desk.boot(SMS)
    await overrides.ask()
    assert desk.asked() == []
    desk.in_force = lambda: True
    await overrides.ask()
    assert desk.asked() == [SMS]


async def test_what_comes_when_the_license_has_just_ended_says_nothing(desk: Desk) -> None:
    for feature in (SMS, API):
        desk.billing.answer_feature(feature, YES)
    overrides = await desk.boot(SMS, API)
    await overrides.ask()
    desk.billing.answer_feature(SMS, NO)
    desk.billing.answer_feature(API, RejectedError("unknown", code="not_found"))
    overrides.wake()
    desk.in_force = iter([True, False]).__next__
    saves, before = desk.store.saves, overrides.view()
    await overrides.ask()
    assert (overrides.view(), desk.store.saves) == (before, saves)


async def test_a_new_denial_is_not_believed_while_the_service_says_that_the_license_is_over(desk: Desk) -> None:
    desk.billing.offer_report()
    desk.billing.answer_feature(SMS, YES)
    desk.billing.answer_feature(API, NO)
    overrides = await desk.boot(SMS, API)
    await overrides.ask()
    desk.billing.answer("", replace(GOOD, is_valid=False))
    for feature in (SMS, MANY[0]):
        desk.billing.answer_feature(feature, NO)
    overrides.interested(MANY[0])
    desk.clock.at += FRESH
    await overrides.ask()
    assert [(word.feature, word.enabled) for word in overrides.view().values()] == [(SMS, True), (API, False)]
    assert overrides.view()[API].asked_at == desk.clock.at


@pytest.mark.parametrize("report", ["none", "broken", "valid"])
async def test_a_new_denial_counts_unless_the_report_speaks_against_it(desk: Desk, report: str) -> None:
    if report != "none":
        desk.billing.offer_report(*[IntegrityError("odd")] * (report == "broken"))
    desk.billing.answer_feature(SMS, NO)
    overrides = await desk.boot(SMS)
    await overrides.ask()
    assert overrides.view()[SMS].enabled is False


async def test_a_license_is_asked_about_for_new_denials_only(desk: Desk) -> None:
    desk.billing.answer_feature(SMS, YES)
    overrides = await desk.boot(SMS)
    for reply, reports in ((YES, 0), (NO, 1), (NO, 1), (YES, 1), (NO, 2)):
        desk.billing.answer_feature(SMS, reply)
        overrides.wake()
        await overrides.ask()
        assert desk.billing.reports == reports


# --- wake ---


async def test_wake_asks_about_everything_anew(desk: Desk) -> None:
    overrides = await desk.boot(SMS, API)
    await overrides.ask()
    overrides.wake()
    await overrides.ask()
    assert desk.asked() == [SMS, API, SMS, API]


async def test_a_wake_in_the_middle_of_a_round_is_not_lost(desk: Desk) -> None:
    desk.billing.slow()
    overrides = await desk.boot(SMS)
    asking = asyncio.create_task(overrides.ask())
    while not desk.billing.features_asked:
        await asyncio.sleep(0)
    overrides.wake()
    desk.billing.online()
    await asking
    await overrides.ask()
    assert desk.asked() == [SMS, SMS]
