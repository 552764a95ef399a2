"""RFC 3339 and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tapi_agent.sandbox import times


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00.5+05:45", datetime(2026, 3, 1, 6, 15, 0, 500_000, tzinfo=UTC)),
        ("2026-03-01T12:00:00.123456789-11:30", datetime(2026, 3, 1, 23, 30, 0, 123_456, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_with_any_offset(text: str, at: datetime) -> None:
    assert times.parse(text) == times.parse_utc(text) == at
    assert times.parse_utc(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-03-01 12:00:00Z",
        "2026-03-01T12:00Z",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00.1234567890Z",
        "2026-03-01T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-03-01T12:00:00+24:00",
        "2026-03-01T12:00:00Z\n",
        "٢٠٢٦-03-01T12:00:00Z",
        "20260301T120000Z",
        None,
        5,
    ],
)
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        times.parse(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_beyond_the_calendar_in_utc(text: str) -> None:
    assert times.parse(text).year in {1, 9999}
    with pytest.raises(ValueError, match="years 1 to 9999"):
        times.parse_utc(text)


def test_render_is_utc_and_comes_back() -> None:
    at = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert times.render(at) == "2026-03-01T10:00:00.000005Z"
    assert times.parse(times.render(at)) == at


@pytest.mark.parametrize(("text", "us"), [("1970-01-01T00:00:00.000001Z", 1), ("1969-12-31T23:59:59Z", -1_000_000)])
def test_microseconds(text: str, us: int) -> None:
    assert times.microseconds(times.parse(text)) == us
