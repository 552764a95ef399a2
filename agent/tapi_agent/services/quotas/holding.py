"""An account at one moment, and the stake that follows from it: what this device may still bring into the totals."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tapi_agent.ports.quotas import Stake

ZERO: Final = Decimal(0)
NO_STAKE: Final = Stake(outstanding=ZERO, reserved=ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """An account as ``hold`` saw it: ``debt`` is what its hand lacked, ``step`` the number of its last change."""

    hand: Decimal
    debt: Decimal
    reserved: Decimal
    left: Stake
    corrected: Decimal
    step: int

    def stake(self, undrained: Decimal | None) -> Stake:
        """With what the spool holds of the quota, ``None`` for no event at all: what may still reach the totals."""
        waiting = ZERO if undrained is None else max(undrained, ZERO) + self.corrected
        return Stake(
            outstanding=self.hand + self.reserved + self.left.outstanding + waiting,
            reserved=self.reserved + self.left.reserved,
        )
