"""Which span of time a plugin is asked about next: on a grid of UTC multiples of a meter's ``every``, without a gap."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.ids import EPOCH

if TYPE_CHECKING:
    from datetime import datetime

FARTHEST_BACK: Final = timedelta(days=31)
"""What was used before that is not asked for any more."""
AHEAD: Final = timedelta(days=1)
"""A clock that was set back by more than this had been wrong: what was asked for meanwhile was never the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From ``since`` up to ``until``, UTC."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Everything before ``since`` is recorded. What is between it and ``asked`` may be, as far as a killed agent came.

    So exactly that span is asked for again: its samples then get the same ids.
    """

    since: datetime
    asked: datetime | None = None


def newest_point(now: datetime, every: timedelta) -> datetime:
    """The last point of the grid that is not after ``now``."""
    return EPOCH + (now - EPOCH) // every * every


def next_span(progress: Progress, *, newest: datetime, floor: datetime) -> Span | None:
    """What to ask for at grid point ``newest``, nothing of it before ``floor``; ``None`` while nothing is due."""
    since = max(progress.since, newest - FARTHEST_BACK, floor)
    asked = progress.asked if progress.asked and progress.asked > since else None
    until = asked or newest
    return Span(since=since, until=until) if since < until else None
