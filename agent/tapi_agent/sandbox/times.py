"""RFC 3339 times in and out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def parse(text: object) -> datetime:
    """An aware time, cut to microseconds. ``ValueError`` unless RFC 3339 with an offset."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError("must be an RFC 3339 time such as 2026-01-31T12:00:00.5Z")
    return datetime.fromisoformat(text)


def parse_utc(text: object) -> datetime:
    """The same in UTC."""
    try:
        return parse(text).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is outside the years 1 to 9999 in UTC") from error


def render(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def microseconds(at: datetime) -> int:
    """Whole microseconds since 1970, for comparing and sorting in SQL."""
    return (at - _EPOCH) // timedelta(microseconds=1)
