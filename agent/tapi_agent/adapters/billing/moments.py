"""Times and durations as the billing service writes them: RFC 3339, Go's zero time, Retry-After. Pure: no clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FARTHEST: Final = datetime(9000, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Later dates are clamped to it: arithmetic on year 9999 overflows."""
_NO_DATE_YEAR: Final = 1970
_LONGEST_WISH: Final = timedelta(days=1)
_RFC_3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


def instant(text: str) -> datetime | None:
    """An RFC 3339 time in UTC, cut to microseconds; ``None`` for a year ≤ 1970, which means no date.

    ``ValueError`` when malformed or without an offset.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time with an offset: {text[:40]!r}")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    if year <= _NO_DATE_YEAR:
        return None
    # A leap second has no place in a datetime; the second before it is near enough for a license.
    local = datetime(year, month, day, hour, minute, min(second, 59), _microseconds(match[7]), _offset(match))
    return FARTHEST if year > FARTHEST.year else min(local.astimezone(UTC), FARTHEST)


def rfc3339(at: datetime) -> str:
    """An aware time as RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """What ``Retry-After`` (seconds or an HTTP date) asks for, within 0 … 1 day; ``None`` when absent or unreadable.

    A date is counted from the reply's own ``Date``: the clock of this box may be wrong.
    """
    wish = headers.get("retry-after", "").strip()
    if wish.isascii() and wish.isdigit():
        return min(timedelta(seconds=int(wish[:9])), _LONGEST_WISH)
    until, said = _http_date(wish), _http_date(headers.get("date", ""))
    if until is None or said is None:
        return None
    return min(max(until - said, timedelta()), _LONGEST_WISH)


def _microseconds(fraction: str | None) -> int:
    return int((fraction or "0")[:6].ljust(6, "0"))


def _offset(match: re.Match[str]) -> timezone:
    sign, hours, minutes = match[8], match[9], match[10]
    if sign is None:
        return UTC
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset)


def _http_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
