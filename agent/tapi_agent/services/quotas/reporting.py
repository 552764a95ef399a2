"""The rhythm of the quotas: stakes are written, reservations expire, blocks go back, periods begin."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import TapiError, UnavailableError

if TYPE_CHECKING:
    from tapi_agent.ports.clock import Clock, TrustedClock
    from tapi_agent.ports.quotas import QuotaKey
    from tapi_agent.services.quotas.account import Account
    from tapi_agent.services.quotas.accounts import Accounts
    from tapi_agent.services.quotas.drawing import Drawing

log = structlog.get_logger(__name__)

_PULSE: Final = timedelta(seconds=1)
_CHANGED: Final = 2.0
"""Seconds after which a change is written down."""
_UNCHANGED: Final = 30.0
"""Seconds after which the others are looked at although nothing has changed here."""
_UNUSED: Final = 30.0
"""Seconds after which a block that nobody takes from is given back."""


class Reporting:
    """Looks after the accounts; ``wake`` it when their count may be out of date."""

    def __init__(self, *, accounts: Accounts, drawing: Drawing, clock: TrustedClock, machine: Clock) -> None:
        self._accounts = accounts
        self._drawing = drawing
        self._clock = clock
        self._machine = machine
        self._woken = asyncio.Event()
        self._warned: set[QuotaKey] = set()

    def wake(self) -> None:
        """Look at once."""
        self._woken.set()

    async def pause(self) -> None:
        """Until it is time to look again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PULSE.total_seconds()):
                await self._woken.wait()
        self._woken.clear()

    async def look(self) -> bool:
        """Do what is due; whether any stake was written."""
        now = self._machine.monotonic()
        for account in self._accounts:
            account.expire(now)
            if now - account.touched >= _UNUSED:
                account.give_back()
        self._accounts.renew(self._clock.now())
        due = [account for account in self._accounts if self._is_due(account, now)]
        return any([await self.report(account) for account in due])

    async def report(self, account: Account) -> bool:
        """Write the stake; ``False`` while a store gives no answer."""
        try:
            async with account.lock:
                await self._drawing.draw(account)
        except UnavailableError:
            return False
        except TapiError as error:
            log.exception("quota.not_reported", meter=account.key.meter, error=str(error))
            return False
        self._warn(account)
        return True

    def _warn(self, account: Account) -> None:
        """Once a period, that its quota is used up."""
        if account.is_used_up and account.key not in self._warned:
            self._warned.add(account.key)
            log.warning(
                "quota.used_up",
                meter=account.key.meter,
                limit=str(account.limit),
                used=str(account.used),
                soft=account.rule.soft,
                resets_at=account.key.window.end,
            )

    def _is_due(self, account: Account, now: float) -> bool:
        """A change soon; but a drain after an outage is not to be slowed down by counting what is left of it."""
        soon = account.changed and not self._drawing.is_swamped
        return now - account.counted_at >= (_CHANGED if soon else _UNCHANGED)

    async def give_back(self) -> None:
        """All that is in hand, as far as PostgreSQL answers."""
        for account in self._accounts:
            account.give_back()
            if not await self.report(account):
                return
