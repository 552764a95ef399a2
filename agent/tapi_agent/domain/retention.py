"""How long things are kept: where the line is drawn before which they may go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.months import next_month

if TYPE_CHECKING:
    from datetime import datetime

KEPT_EVEN_WHEN_CROWDED: Final = timedelta(days=1)
"""A delivered event stays this long whatever the space: a repeat of it is recognized."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionTerms:
    """How long usage, telemetry (``None``: for ever) and edges are kept, and how many bytes of usage there may be."""

    usage: timedelta
    usage_bytes: int
    telemetry: timedelta | None
    edges: timedelta = timedelta(days=400)


def crowded_horizon(oldest: datetime, now: datetime) -> datetime:
    """Before when usage goes early, if its tables are too large and ``oldest`` is the oldest that may go.

    The rest of that month, since only a whole month gives its space back; of the present month all but the last day.
    """
    return min(next_month(oldest), now - KEPT_EVEN_WHEN_CROWDED)
