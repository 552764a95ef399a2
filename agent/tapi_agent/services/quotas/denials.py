"""Denials in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.services.quotas.figures import figures_of
from tapi_agent.services.quotas.values import Denial, DenialReason

if TYPE_CHECKING:
    from decimal import Decimal

    from tapi_agent.services.quotas.account import Account


def denial_of(account: Account, amount: Decimal, reason: DenialReason, *, unit: str) -> Denial:
    """Why ``amount`` was not granted, and what to do."""
    quota = figures_of(account)
    if reason is DenialReason.QUOTA_UNAVAILABLE:
        detail = f"the counter of {account.key.meter} gives no answer, and this agent holds less than {amount:f} {unit}"
        fix, retryable = "tapi-agent doctor says which store is down; try again", True
    elif amount <= quota.limit - quota.used:
        detail = f"of {quota.limit:f} {unit}, {quota.used:f} are used, and too much of the rest is reserved"
        fix, retryable = "try again in a minute: what others have reserved and do not use comes back", True
    else:
        detail = f"of {quota.limit:f} {unit} a {quota.period}, {quota.used:f} are used: no {amount:f} are left"
        fix, retryable = f"wait until {quota.resets_at:%Y-%m-%dT%H:%M:%SZ}, or buy more", False
    return Denial(
        meter=account.key.meter,
        unit=unit,
        amount=amount,
        reason=reason,
        detail=detail,
        fix=fix,
        retryable=retryable,
        quota=quota,
    )
