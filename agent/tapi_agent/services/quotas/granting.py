"""Reserving: from the hand where it suffices, else after a draw, one at a time for each account.

From the last look at an account to the reservation in it nothing is awaited, so nobody can take what was seen.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import InvalidInputError, UnavailableError
from tapi_agent.domain.usage import Refusal
from tapi_agent.services.quotas.denials import denial_of
from tapi_agent.services.quotas.figures import figures_of, is_overdrawn
from tapi_agent.services.quotas.holding import ZERO
from tapi_agent.services.quotas.pointers import pointing
from tapi_agent.services.quotas.tickets import Ticket, Use
from tapi_agent.services.quotas.values import LONGEST_TTL, DenialReason, Grant

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from tapi_agent.domain.ids import TenantId
    from tapi_agent.domain.usage import UsageEvent
    from tapi_agent.ports.clock import Clock, TrustedClock
    from tapi_agent.services.metering import Metering
    from tapi_agent.services.quotas.account import Account
    from tapi_agent.services.quotas.accounts import Accounts
    from tapi_agent.services.quotas.drawing import Drawing
    from tapi_agent.services.quotas.tickets import Tickets
    from tapi_agent.services.quotas.values import Denial, ReserveRequest

_PLACES: Final = {"#/event_type": "#/meter", "#/quantity": "#/amount"}
_ENTROPY: Final = 16
_REFUSED_FOR: Final = 1.0
"""Seconds for which a quota that was found spent is not asked about again."""


class Granting:
    """Grants on the accounts of one tenant."""

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        tenant_id: TenantId,
        accounts: Accounts,
        drawing: Drawing,
        tickets: Tickets,
        metering: Metering,
        clock: TrustedClock,
        machine: Clock,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._tenant_id = tenant_id
        self._accounts = accounts
        self._drawing = drawing
        self._tickets = tickets
        self._metering = metering
        self._clock = clock
        self._machine = machine
        self._entropy = entropy

    async def reserve(self, request: ReserveRequest) -> Grant | Denial:
        """Keep the amount back in the period of this moment, or say why not."""
        now = self._clock.now()
        use = self._use(request, now)
        event = self._preview(use, request.amount)
        account = self._accounts.current(request.meter, now)
        if account is not None:
            if reason := await self._cover(account, request.amount):
                return denial_of(account, request.amount, reason, unit=event.unit)
            self._open(account, event, request.ttl)
        return Grant(
            reservation_id=self._tickets.write(Ticket(use=use, event_id=event.event_id)),
            meter=request.meter,
            unit=event.unit,
            amount=request.amount,
            reserved_at=now,
            expires_at=now + request.ttl,
            overage=account is not None and is_overdrawn(account),
            quota=figures_of(account) if account else None,
        )

    def _use(self, request: ReserveRequest, now: datetime) -> Use:
        if not timedelta(0) < request.ttl <= LONGEST_TTL:
            longest = int(LONGEST_TTL.total_seconds())
            raise InvalidInputError(
                f"a reservation is for more than 0 and at most {longest} seconds",
                code=Refusal.OUT_OF_RANGE,
                pointer="#/ttl_s",
                fix="a commit counts after the ttl too: the ttl only says when an abandoned amount comes back",
            )
        return Use(
            tenant_id=self._tenant_id,
            meter=request.meter,
            camera_id=request.camera_id,
            reserved_at=now,
            key=self._entropy(_ENTROPY).hex(),
        )

    def _preview(self, use: Use, amount: Decimal) -> UsageEvent:
        """The event that the reservation will become: what would be refused then is refused now."""
        if amount.is_finite() and amount <= 0:
            raise InvalidInputError(
                "an amount to be reserved is above 0",
                code=Refusal.OUT_OF_RANGE,
                pointer="#/amount",
                fix="reserve the most that the use may take; commit what it took",
            )
        with pointing(_PLACES):
            return self._metering.preview(use.draft(amount))

    async def _cover(self, account: Account, amount: Decimal) -> DenialReason | None:
        """Return when the hand suffices, with ``None``, or when it will not. After every wait, look again."""
        while not account.covers(amount):
            async with account.lock:
                account.expire(self._machine.monotonic())
                missing = amount - max(account.hand, ZERO)
                if missing > 0 and (reason := await self._draw(account, missing)):
                    return reason
        return None

    async def _draw(self, account: Account, missing: Decimal) -> DenialReason | None:
        if missing > account.free and self._machine.monotonic() - account.counted_at < _REFUSED_FOR:
            return DenialReason.QUOTA_EXCEEDED
        try:
            count = await self._drawing.draw(account, needed=missing, wanted=account.block(missing))
        except UnavailableError:
            return DenialReason.QUOTA_UNAVAILABLE
        return None if count.taken or not account.hard else DenialReason.QUOTA_EXCEEDED

    def _open(self, account: Account, event: UsageEvent, ttl: timedelta) -> None:
        if account.is_full:
            raise UnavailableError(
                f"too many reservations of {account.key.meter} are open", fix="commit or release what is done"
            )
        now = self._machine.monotonic()
        account.reserve(event.event_id, event.quantity, now=now, until=now + ttl.total_seconds())
