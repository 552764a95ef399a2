"""UTC months: what partitioned tables are cut into, and where retention draws its lines."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_DECEMBER = 12


def month_of(at: datetime) -> datetime:
    """The start of the UTC month that the aware time ``at`` is in."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(at: datetime) -> datetime:
    """The start of the month after that of ``at``."""
    start = month_of(at)
    year, month = (start.year + 1, 1) if start.month == _DECEMBER else (start.year, start.month + 1)
    return start.replace(year=year, month=month)


def months(first: datetime, last: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Months as (start, start of the next one), from the month ``first`` is in to the month ``last`` is in."""
    start = month_of(first)
    while start <= last:
        end = next_month(start)
        yield start, end
        start = end
