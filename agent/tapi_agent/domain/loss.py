"""Usage that never reaches the bill and is no dead letter: counted by kind and meter, so that none goes silently."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Context, Decimal, Inexact
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_EXACT: Final = Context(prec=60, traps=[Inexact])


class LossKind(StrEnum):
    """How it was lost."""

    REFUSED = "refused"
    """There was no room, or the disk failed: the caller got an error, nothing had been acknowledged."""
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


def add_up_losses(losses: Iterable[Loss]) -> list[Loss]:
    """One for each kind and meter, in that order."""
    sums: dict[tuple[LossKind, str], Loss] = {}
    for loss in losses:
        key = loss.kind, loss.meter
        sums[key] = _plus(sums[key], loss) if key in sums else loss
    return [sums[key] for key in sorted(sums)]


def _plus(one: Loss, other: Loss) -> Loss:
    return replace(
        one,
        events=one.events + other.events,
        quantity=_EXACT.add(one.quantity, other.quantity),
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
    )
