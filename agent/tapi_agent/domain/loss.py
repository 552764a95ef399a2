"""Usage that never reaches the bill and is no dead letter: counted by kind and meter, so that none goes silently."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal


class LossKind(StrEnum):
    """How it was lost."""

    REFUSED = "refused"
    """There was no room: the caller got an error, nothing had been acknowledged."""
    DAMAGED = "damaged"
    """It was acknowledged, and a broken spool file did not give it back."""
    ROLLED_BACK = "rolled_back"
    """It was acknowledged and drained, and the database came back without it: wiped, or restored to an older day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Some events of one ``meter`` with their exact ``quantity`` in its unit, lost between two instants."""

    kind: LossKind
    meter: str
    events: int
    quantity: Decimal
    first_at: datetime
    last_at: datetime
