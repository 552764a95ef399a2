from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.event_time import Moment, read_event_time

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
FLOOR = datetime(2026, 3, 1, tzinfo=UTC)
MOMENT = Moment(now=NOW, latest=NOW, floor=FLOOR, entropy=bytes(10))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2027-03-01T12:00:00Z", NOW),
        ("2027-03-01t12:00:00z", NOW),
        ("2027-03-01 22:00:00+10:00", NOW),
        ("2027-03-01T07:30:00-04:30", NOW),
        ("2027-03-01T12:00:00.5Z", NOW + timedelta(milliseconds=500)),
        ("2027-03-01T12:00:00.123456789Z", NOW + timedelta(microseconds=123456)),
        ("2027-03-02T12:00:00Z", NOW + timedelta(days=1)),
        ("2026-03-01T00:00:00Z", FLOOR),
        (NOW.astimezone(timezone(timedelta(hours=5))), NOW),
    ],
)
def test_a_time_becomes_utc(given: object, expected: datetime) -> None:
    read = read_event_time(given, MOMENT)
    assert read == expected
    assert read.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("given", "code", "word"),
    [
        ("2027-03-01T12:00:00", "BAD_TIME", "zone"),
        (NOW.replace(tzinfo=None), "BAD_TIME", "zone"),
        ("yesterday", "BAD_TIME", "RFC 3339"),
        ("2027-03-01", "BAD_TIME", "RFC 3339"),
        ("20270301T120000Z", "BAD_TIME", "RFC 3339"),
        ("2027-W09-1T12:00:00Z", "BAD_TIME", "RFC 3339"),
        (1804075200, "BAD_TIME", "RFC 3339"),
        ("2027-02-30T12:00:00Z", "BAD_TIME", "no time"),
        ("2027-03-01T12:00:60Z", "BAD_TIME", "no time"),
        ("0001-01-01T00:00:00+10:00", "BAD_TIME", "no time"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))), "BAD_TIME", "no time"),
        ("2026-02-28T23:59:59.999999Z", "TOO_OLD", "oldest"),
        ("1970-01-01T00:05:00Z", "TOO_OLD", "oldest"),
        ("2027-03-02T12:00:00.000001Z", "IN_FUTURE", "ahead"),
    ],
)
def test_what_is_no_time_or_not_kept_is_refused(given: object, code: str, word: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_event_time(given, MOMENT)
    assert (caught.value.code, caught.value.pointer) == (code, "#/event_time")
    assert word in str(caught.value)
    assert caught.value.fix


def test_a_wall_clock_that_nobody_confirms_is_given_the_benefit_of_the_doubt() -> None:
    moment = Moment(now=NOW, latest=NOW + timedelta(days=100), floor=FLOOR, entropy=bytes(10))
    assert read_event_time(NOW + timedelta(days=101), moment) == NOW + timedelta(days=101)
    with pytest.raises(InvalidInputError, match="ahead"):
        read_event_time(NOW + timedelta(days=101, seconds=1), moment)
