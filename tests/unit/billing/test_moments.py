from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.adapters.billing.moments import FARTHEST, instant, retry_after, rfc3339

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC), id="zulu"),
        pytest.param("2026-03-01t12:00:00z", datetime(2026, 3, 1, 12, tzinfo=UTC), id="lower case"),
        pytest.param("2026-03-01 12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC), id="space for T"),
        pytest.param("2026-03-01T12:00:00+05:45", datetime(2026, 3, 1, 6, 15, tzinfo=UTC), id="offset east"),
        pytest.param("2026-03-01T12:00:00-09:30", datetime(2026, 3, 1, 21, 30, tzinfo=UTC), id="offset west"),
        pytest.param("2026-03-01T12:00:00-00:00", datetime(2026, 3, 1, 12, tzinfo=UTC), id="unknown local offset"),
        pytest.param("2026-03-01T12:00:00.5Z", datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC), id="one digit"),
        pytest.param("2026-03-01T12:00:00.123456789Z", datetime(2026, 3, 1, 12, 0, 0, 123_456, UTC), id="nine digits"),
        pytest.param("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC), id="leap second"),
        pytest.param("0001-01-01T00:00:00Z", None, id="zero time of Go"),
        pytest.param("0000-00-00T00:00:00Z", None, id="zero time of MySQL"),
        pytest.param("1970-12-31T23:59:59Z", None, id="last of no date"),
        pytest.param("1971-01-01T00:00:00Z", datetime(1971, 1, 1, tzinfo=UTC), id="first date"),
        pytest.param("9000-12-31T23:59:59.9Z", FARTHEST, id="farthest"),
        pytest.param("9001-01-01T00:00:00Z", FARTHEST, id="beyond"),
        pytest.param("9999-12-31T23:59:59-23:59", FARTHEST, id="overflows in UTC"),
    ],
)
def test_reads_what_the_service_writes(text: str, expected: datetime | None) -> None:
    assert instant(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2026-03-01T12:00:00", id="naive"),
        pytest.param("2026-03-01", id="date"),
        pytest.param("1772366400", id="unix time"),
        pytest.param("2026-02-30T12:00:00Z", id="no such day"),
        pytest.param("2026-03-01T24:00:00Z", id="no such hour"),
        pytest.param("9999-02-30T12:00:00Z", id="no such day far away"),
        pytest.param("2026-03-01T12:00:00+24:00", id="no such offset"),
        pytest.param("2026-03-01T12:00Z", id="no seconds"),
        pytest.param("٢٠٢٦-03-01T12:00:00Z", id="other digits"),
        pytest.param("2026-03-01T12:00:00Z\n", id="line break"),
        pytest.param("", id="empty"),
    ],
)
def test_refuses_the_rest(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        instant(text)


@given(
    st.datetimes(
        min_value=datetime(1972, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=datetime(8999, 1, 1),  # noqa: DTZ001
        timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    )
)
def test_reads_what_it_writes(at: datetime) -> None:
    assert instant(rfc3339(at)) == at


@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", fullmatch=True))
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    try:
        at = instant(text)
    except ValueError:
        return
    assert at is None or datetime(1970, 12, 30, tzinfo=UTC) < at <= FARTHEST


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="absent"),
        pytest.param({"retry-after": "120"}, timedelta(minutes=2), id="seconds"),
        pytest.param({"retry-after": " 0 "}, timedelta(0), id="at once"),
        pytest.param({"retry-after": "9" * 400}, timedelta(days=1), id="absurd"),
        pytest.param({"retry-after": "-5"}, None, id="negative"),
        pytest.param({"retry-after": "1.5"}, None, id="fraction"),
        pytest.param({"retry-after": "²"}, None, id="a digit that is no number"),
        pytest.param({"retry-after": "soon"}, None, id="words"),
        pytest.param({"retry-after": DATE}, None, id="date without a date to count from"),
        pytest.param({"retry-after": DATE, "date": "Wed, 21 Oct 2026 07:27:00 GMT"}, timedelta(minutes=1), id="date"),
        pytest.param({"retry-after": DATE, "date": "Wed, 21 Oct 2026 09:00:00 GMT"}, timedelta(0), id="date passed"),
        pytest.param({"retry-after": DATE, "date": "Wed, 21 Oct 1970 07:28:00 GMT"}, timedelta(days=1), id="date far"),
        pytest.param({"retry-after": "Wed, 99 Oct 2026 07:28:00 GMT", "date": DATE}, None, id="no such date"),
    ],
)
def test_retry_after(headers: dict[str, str], expected: timedelta | None) -> None:
    assert retry_after(headers) == expected
