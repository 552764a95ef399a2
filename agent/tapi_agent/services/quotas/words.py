"""The billing service's word on what is left of a quota: it comes before the rules while its period lasts."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.ports.quotas import Asked

if TYPE_CHECKING:
    from decimal import Decimal

    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.ports.quotas import QuotaLedger
    from tapi_agent.services.quotas.account import Account
    from tapi_agent.services.quotas.accounts import Accounts
    from tapi_agent.services.quotas.reporting import Reporting


class Words:
    """Implements ``ports.quotas.QuotaWords``."""

    def __init__(self, *, accounts: Accounts, ledger: QuotaLedger, reporting: Reporting, clock: TrustedClock) -> None:
        self._accounts = accounts
        self._ledger = ledger
        self._reporting = reporting
        self._clock = clock

    async def asking(self, meter: str) -> Asked | None:
        """Look at what the service can know of, before it is asked; ``None``: its word would mean nothing."""
        now = self._clock.now()
        account = self._accounts.current(meter, now)
        if account is None:
            return None
        try:
            return Asked(key=account.key, settled=await self._ledger.settled(account.key), at=now)
        except UnavailableError:
            return None

    async def told(self, asked: Asked, remaining: Decimal) -> None:
        """Write the word down, and count anew; one that cannot be written down is lost: the next will come."""
        account = self._current(asked)
        if account is None or _is_lost_in_overage(account, remaining):
            return
        with suppress(UnavailableError):
            await self._ledger.heard(account.rule, remaining=remaining, settled=asked.settled, said_at=asked.at)
            await self._reporting.report(account)

    def _current(self, asked: Asked) -> Account | None:
        """The account it was asked for, unless its period has ended meanwhile."""
        account = self._accounts.current(asked.key.meter, self._clock.now())
        return account if account and account.key == asked.key else None


def _is_lost_in_overage(account: Account, remaining: Decimal) -> bool:
    """Nothing is left of a soft quota: such a word hides by how much it is exceeded, the limit before it does not."""
    return account.rule.soft and remaining == 0
