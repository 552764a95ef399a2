"""Quotas as values: the rules that limit a meter, the periods they run in, and what a rule comes to for a tenant. Pure.

Owns limits and periods. What is left of a limit is counted by ``services.quotas``; the figures that a decision shows
are ``domain.decision.QuotaFigures``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

UNLIMITED: Final = -1
"""As a limit; 0 is disabled."""


class Period(StrEnum):
    """How long a quota runs before it starts anew, in UTC."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One period of a quota, from ``start`` up to but without ``end`` (UTC midnights)."""

    period: Period
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRule:
    """A limit on a meter for each period, in the meter's unit: -1 is unlimited, 0 disabled.

    Beyond a ``soft`` one usage is allowed and billed as overage. ``trial_limit`` stands in while the tenant is on
    trial. A rule with a ``pack`` adds its limit to the meter's basic rule while the tenant holds that pack.
    """

    meter: str
    limit: int
    period: Period = Period.MONTH
    soft: bool = False
    trial_limit: int | None = None
    pack: str | None = None

    def __post_init__(self) -> None:
        """Refuse a limit that means nothing."""
        least = 0 if self.pack else UNLIMITED
        if self.limit < least or (self.trial_limit is not None and self.trial_limit < UNLIMITED):
            raise InvalidInputError(
                f"the quota of meter {self.meter!r} has a limit below {least}",
                code="quota_limit",
                pointer="#/limit",
                fix="give a number of the meter's units; -1 for unlimited, 0 for disabled",
            )


def window_at(now: datetime, period: Period) -> Window:
    """The period that ``now`` (UTC) lies in."""
    first = now.date() if period is Period.DAY else now.date().replace(day=1)
    start = datetime.combine(first, time(), now.tzinfo)
    end = start + timedelta(days=1) if period is Period.DAY else (start + timedelta(days=31)).replace(day=1)
    return Window(period=period, start=start, end=end)


def limit_of(basic: QuotaRule, more: Iterable[QuotaRule], *, trial: bool, packs: frozenset[str]) -> int:
    """What a meter's rules come to for a tenant with these packs: the basic limit, and what its packs add to it."""
    limit = basic.trial_limit if trial and basic.trial_limit is not None else basic.limit
    if limit == UNLIMITED:
        return UNLIMITED
    return limit + sum(rule.limit for rule in more if rule.pack in packs)
