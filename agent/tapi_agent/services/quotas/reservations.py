"""The reservations of one account that are open, by the id of the event that each will become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tapi_agent.services.quotas.holding import ZERO

if TYPE_CHECKING:
    from decimal import Decimal

    from tapi_agent.domain.ids import EventId

_MOST: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """An open one; ``until`` on the monotonic clock."""

    amount: Decimal
    until: float


class Reservations:
    """Open ones; ``total`` is what they come to."""

    def __init__(self) -> None:
        self._open: dict[EventId, Reservation] = {}
        self.total = ZERO

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def are_too_many(self) -> bool:
        """Whether somebody must have forgotten them."""
        return len(self) >= _MOST

    def open(self, event_id: EventId, amount: Decimal, *, until: float) -> None:
        """One more."""
        self._open[event_id] = Reservation(amount=amount, until=until)
        self.total += amount

    def close(self, event_id: EventId) -> Decimal:
        """What it was of; nothing for one that is not open."""
        reservation = self._open.pop(event_id, None)
        amount = reservation.amount if reservation else ZERO
        self.total -= amount
        return amount

    def over(self, now: float) -> list[EventId]:
        """Those whose time is over, still open."""
        return [event_id for event_id, one in self._open.items() if one.until <= now]
