"""The same calls bring words on quotas: the count is read before each, one word a meter told after a whole round."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from tests.unit.overrides.conftest import FRESH, NO

from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.ports.billing import FeatureReply

if TYPE_CHECKING:
    from tests.unit.overrides.conftest import Desk

    from tapi_agent.domain.errors import TapiError

SEAT, REPORTS, API = "llm.analyst_seat_full", "llm.automated_reports", "outputs.api"


def left(remaining: str | None) -> FeatureReply:
    return FeatureReply(is_enabled=True, quota_remaining=None if remaining is None else Decimal(remaining))


@pytest.fixture
def metered(desk: Desk) -> Desk:
    desk.meters |= {SEAT: "llm_tokens", REPORTS: "llm_tokens", API: "api_call"}
    return desk


async def test_the_count_is_read_before_the_call_and_the_word_told_after_it(metered: Desk) -> None:
    metered.billing.answer_feature(API, left("12.5"))
    overrides = await metered.boot(API)
    await overrides.ask()
    assert metered.asked() == ["asking api_call", API, "told api_call"]
    assert metered.quotas.heard == [("api_call", Decimal("12.5"))]


@pytest.mark.parametrize(
    ("seat", "reports", "told"),
    [
        pytest.param("5", "-1", "5", id="limited-and-unlimited"),
        pytest.param("-1", "5", "5", id="unlimited-and-limited"),
        pytest.param("0", "5", "0", id="nothing-left"),
        pytest.param("-1", "-1", "-1", id="unlimited"),
        pytest.param(None, "5", "5", id="only-one-says-it"),
    ],
)
async def test_of_several_words_on_a_meter_the_tightest_is_told(
    metered: Desk, seat: str | None, reports: str, told: str
) -> None:
    metered.billing.answer_feature(SEAT, left(seat))
    metered.billing.answer_feature(REPORTS, left(reports))
    overrides = await metered.boot(SEAT, REPORTS)
    await overrides.ask()
    assert metered.quotas.heard == [("llm_tokens", Decimal(told))]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(left(None), id="says nothing"),
        pytest.param(RejectedError("unknown", code="not_found"), id="404"),
        pytest.param(RejectedError("odd", code="bad_request"), id="refused"),
        pytest.param(UnavailableError("down", fix=""), id="silence"),
    ],
)
async def test_no_word_on_a_quota(metered: Desk, answer: FeatureReply | TapiError) -> None:
    metered.billing.answer_feature(API, answer)
    overrides = await metered.boot(API)
    await overrides.ask()
    assert metered.asked() == ["asking api_call", API]


async def test_a_denied_feature_may_still_say_what_is_left(metered: Desk) -> None:
    metered.billing.answer_feature(API, FeatureReply(is_enabled=False, quota_remaining=Decimal(3)))
    overrides = await metered.boot(API)
    await overrides.ask()
    assert metered.quotas.heard == [("api_call", Decimal(3))]


async def test_where_a_word_would_mean_nothing_it_is_not_told(metered: Desk) -> None:
    metered.quotas.meaningless.add("api_call")
    metered.billing.answer_feature(API, left("5"))
    overrides = await metered.boot(API)
    await overrides.ask()
    assert metered.asked() == ["asking api_call", API]
    assert overrides.view()[API].enabled


async def test_a_feature_without_a_meter_has_no_quota(metered: Desk) -> None:
    metered.billing.answer_feature("analytics.dwell", left("5"))
    overrides = await metered.boot("analytics.dwell")
    await overrides.ask()
    assert metered.asked() == ["analytics.dwell"]


async def test_who_shares_a_meter_is_asked_together(metered: Desk) -> None:
    overrides = await metered.boot(SEAT, "analytics.dwell")
    await overrides.ask()
    metered.clock.at += FRESH / 2
    overrides.interested(REPORTS)
    metered.asked()
    await overrides.ask()
    assert [one for one in metered.asked() if "." in one] == [SEAT, REPORTS]


async def test_a_round_that_broke_off_tells_nothing_since_the_tightest_word_may_be_missing(metered: Desk) -> None:
    metered.billing.answer_feature(SEAT, left("-1"))
    metered.billing.answer_feature(REPORTS, UnavailableError("down", fix=""))
    overrides = await metered.boot(SEAT, REPORTS)
    await overrides.ask()
    assert overrides.view()[SEAT].enabled
    assert metered.quotas.heard == []


async def test_without_a_license_the_words_on_quotas_say_nothing_either(metered: Desk) -> None:
    metered.billing.answer_feature(API, FeatureReply(is_enabled=NO.is_enabled, quota_remaining=Decimal(0)))
    metered.in_force = iter([True, False]).__next__
    overrides = await metered.boot(API)
    await overrides.ask()
    assert metered.quotas.heard == []
