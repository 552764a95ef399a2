"""Months, and the line before which usage goes early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tapi_agent.domain.months import month_of, next_month
from tapi_agent.domain.retention import crowded_horizon

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "start", "end"),
    [
        pytest.param(NOW, datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC), id="within"),
        pytest.param(
            datetime(2026, 12, 1, tzinfo=UTC),
            datetime(2026, 12, 1, tzinfo=UTC),
            datetime(2027, 1, 1, tzinfo=UTC),
            id="first instant of a December",
        ),
        pytest.param(
            datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=10))),
            datetime(2026, 2, 1, tzinfo=UTC),
            datetime(2026, 3, 1, tzinfo=UTC),
            id="another zone",
        ),
    ],
)
def test_a_month_is_one_of_utc(at: datetime, start: datetime, end: datetime) -> None:
    assert (month_of(at), next_month(at)) == (start, end)


@pytest.mark.parametrize(
    ("oldest", "line"),
    [
        pytest.param(datetime(2026, 1, 31, 23, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC), id="a past month whole"),
        pytest.param(
            datetime(2026, 6, 2, tzinfo=UTC), NOW - timedelta(days=1), id="of the present one not the last day"
        ),
        pytest.param(NOW + timedelta(days=40), NOW - timedelta(days=1), id="never beyond that"),
    ],
)
def test_early_means_a_month(oldest: datetime, line: datetime) -> None:
    assert crowded_horizon(oldest, NOW) == line


def test_on_the_first_of_a_month_the_day_before_stays() -> None:
    first = datetime(2026, 7, 1, 1, tzinfo=UTC)
    assert crowded_horizon(NOW, first) == first - timedelta(days=1)
