"""Writing down this agent's stake in a quota, and drawing on the limit: the one place where the quotas wait for stores.

The order of looking is what makes a stake an upper bound (``account``): the account, then the spool, then the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.services.connectivity import POSTGRES
from tapi_agent.services.quotas.holding import ZERO
from tapi_agent.services.quotas.values import LONGEST_TTL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from tapi_agent.domain.ids import TenantId
    from tapi_agent.ports.clock import Clock
    from tapi_agent.ports.quotas import Count, QuotaKey, QuotaLedger, Stake
    from tapi_agent.ports.spool import Spool
    from tapi_agent.services.connectivity import Connectivity
    from tapi_agent.services.quotas.account import Account

_SILENT_FOR: Final = 1.0
"""Seconds."""
_MANY: Final = 10_000
"""Events."""


class Drawing:
    """Draws for the accounts of one tenant; what a former run has left counts for ``LONGEST_TTL`` from now."""

    def __init__(
        self,
        *,
        ledger: QuotaLedger,
        spool: Spool,
        connectivity: Connectivity,
        machine: Clock,
        tenant_id: TenantId,
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._connectivity = connectivity
        self._machine = machine
        self._tenant_id = tenant_id
        self._failed_at: float | None = None
        self._left: Mapping[QuotaKey, Stake] | None = None
        self._left_until = machine.monotonic() + LONGEST_TTL.total_seconds()

    @property
    def answered(self) -> bool:
        """Whether the last call got an answer, and nobody has heard since that PostgreSQL is down."""
        report = self._connectivity.report().get(POSTGRES)
        return self._failed_at is None and (report is None or report.up is not False)

    @property
    def is_swamped(self) -> bool:
        """Whether so much waits in the spool that looking through it takes a while."""
        return self._spool.depth > _MANY

    async def draw(self, account: Account, *, needed: Decimal = ZERO, wanted: Decimal = ZERO) -> Count:
        """Write down the stake, and draw. The caller has the account's lock. Raises ``UnavailableError``.

        For a second after it was raised it is raised at once: those who wait in line must not wait one by one.
        """
        if self._is_silent():
            raise UnavailableError("the counters of quotas give no answer", fix="tapi-agent doctor says why")
        try:
            count = await self._count(account, needed, wanted)
        except UnavailableError:
            self._failed_at = self._machine.monotonic()
            raise
        self._failed_at = None
        return count

    def _is_silent(self) -> bool:
        if self._failed_at is None:
            return not self.answered
        return self._machine.monotonic() - self._failed_at < _SILENT_FOR

    async def _count(self, account: Account, needed: Decimal, wanted: Decimal) -> Count:
        await self._inherit(account)
        held = account.hold()
        undrained = await self._waiting(account.key, after=0)
        count = await self._ledger.draw(
            account.rule, held.stake(undrained), needed=needed, wanted=wanted, stream=self._spool.stream
        )
        account.counted(held, undrained, count, now=self._machine.monotonic())
        await self._show(account, count)
        return count

    async def _inherit(self, account: Account) -> None:
        """Before an account writes a stake for the first time: it would lose what is written there."""
        if account.count is not None:
            return
        if self._left is None:
            self._left = await self._ledger.stakes(self._tenant_id)
        left = self._left.get(account.key)
        if left and left.outstanding:
            account.inherit(left, until=self._left_until)

    async def _show(self, account: Account, count: Count) -> None:
        """What is used altogether: the totals, and what waits behind them. No sum while the spool moves."""
        before = account.used
        waiting = await self._waiting(account.key, after=count.drained_seq)
        if self._spool.drained_seq <= count.drained_seq:
            account.used += count.used + (waiting or ZERO) - before

    async def _waiting(self, key: QuotaKey, *, after: int) -> Decimal | None:
        """What is in the spool of a quota; ``None`` for no event at all."""
        first, end = key.window.start.date(), key.window.end.date()
        found = [
            total.quantity + total.local_quantity
            for total in await self._spool.totals(after=after)
            if total.tenant_id == key.tenant_id and total.meter == key.meter and first <= total.day < end
        ]
        return sum(found, ZERO) if found else None
