"""Periods and limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.quota import Period, QuotaRule, Window, limit_of, window_at

BASIC = QuotaRule(meter="llm_tokens", limit=250_000, trial_limit=50_000)
SEATS = QuotaRule(meter="llm_tokens", limit=1_250_000, pack="intelligence")
MORE = QuotaRule(meter="llm_tokens", limit=7, pack="more")


def day(month: int, number: int, *, year: int = 2027) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "period", "start", "end"),
    [
        (day(3, 1), Period.MONTH, day(3, 1), day(4, 1)),
        (day(4, 1) - timedelta(microseconds=1), Period.MONTH, day(3, 1), day(4, 1)),
        (day(12, 31), Period.MONTH, day(12, 1), day(1, 1, year=2028)),
        (day(2, 28), Period.MONTH, day(2, 1), day(3, 1)),
        (day(2, 29, year=2028), Period.MONTH, day(2, 1, year=2028), day(3, 1, year=2028)),
        (day(1, 31), Period.MONTH, day(1, 1), day(2, 1)),
        (day(3, 1), Period.DAY, day(3, 1), day(3, 2)),
        (day(3, 1) + timedelta(hours=23, minutes=59), Period.DAY, day(3, 1), day(3, 2)),
        (day(12, 31), Period.DAY, day(12, 31), day(1, 1, year=2028)),
    ],
    ids=["first", "last instant", "december", "february", "leap", "a long month", "a day", "its end", "new year's eve"],
)
def test_the_period_that_a_time_lies_in(now: datetime, period: Period, start: datetime, end: datetime) -> None:
    assert window_at(now, period) == Window(period=period, start=start, end=end)


@pytest.mark.parametrize(
    ("basic", "trial", "packs", "limit"),
    [
        (BASIC, False, set(), 250_000),
        (BASIC, True, set(), 50_000),
        (BASIC, False, {"base", "intelligence"}, 1_500_000),
        (BASIC, True, {"intelligence", "more"}, 1_300_007),
        (QuotaRule(meter="llm_tokens", limit=-1, trial_limit=0), False, {"more"}, -1),
        (QuotaRule(meter="llm_tokens", limit=-1, trial_limit=0), True, {"more"}, 7),
        (QuotaRule(meter="llm_tokens", limit=5), True, set(), 5),
        (QuotaRule(meter="llm_tokens", limit=5, trial_limit=-1), True, {"more"}, -1),
    ],
    ids=[
        "base",
        "trial",
        "a pack",
        "trial and packs",
        "unlimited",
        "disabled on trial",
        "no trial limit",
        "free trial",
    ],
)
def test_what_the_rules_come_to(basic: QuotaRule, *, trial: bool, packs: set[str], limit: int) -> None:
    assert limit_of(basic, (SEATS, MORE), trial=trial, packs=frozenset(packs)) == limit


@pytest.mark.parametrize(
    "fields",
    [{"limit": -2}, {"limit": -1, "pack": "more"}, {"limit": 1, "trial_limit": -2}],
    ids=["below unlimited", "a pack without end", "a trial below unlimited"],
)
def test_a_limit_that_means_nothing_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        QuotaRule(meter="llm_tokens", **fields)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.pointer) == ("quota_limit", "#/limit")
