"""How an account stands, in the figures that people and decisions see."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tapi_agent.domain.decision import QuotaFigures
from tapi_agent.domain.quota import UNLIMITED
from tapi_agent.services.quotas.holding import ZERO
from tapi_agent.services.quotas.values import QuotaStatus, Source

if TYPE_CHECKING:
    from tapi_agent.services.quotas.account import Account


def figures_of(account: Account) -> QuotaFigures:
    """What a decision shows."""
    return QuotaFigures(
        limit=account.limit,
        used=account.used,
        remaining=_remaining(account),
        resets_at=account.key.window.end,
        soft=account.rule.soft,
        period=account.key.window.period,
    )


def status_of(account: Account, *, unit: str, complete: bool) -> QuotaStatus:
    """What ``GET /api/v1/quota`` shows; ``complete``: PostgreSQL is there."""
    said = account.count is not None and account.count.said
    return QuotaStatus(
        meter=account.key.meter,
        unit=unit,
        period=account.key.window.period,
        limit=account.limit,
        used=account.used,
        reserved=_reserved(account),
        held=max(account.hand, ZERO),
        remaining=_remaining(account),
        overage=ZERO if account.limit == UNLIMITED else max(account.used - account.limit, ZERO),
        soft=account.rule.soft,
        resets_at=account.key.window.end,
        source=Source.SERVICE if said else Source.RULE,
        complete=complete and account.count is not None,
    )


def is_overdrawn(account: Account) -> bool:
    """Whether more is used and reserved than there is."""
    return account.limit != UNLIMITED and _left(account) < 0


def _remaining(account: Account) -> Decimal:
    return Decimal(UNLIMITED) if account.limit == UNLIMITED else max(_left(account), ZERO)


def _left(account: Account) -> Decimal:
    return account.limit - account.used - _reserved(account)


def _reserved(account: Account) -> Decimal:
    return account.reserved + (account.count.reserved if account.count else ZERO)
