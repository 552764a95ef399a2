"""The proof: what the agent acknowledged against what the service billed, event by event and sum by sum."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """One event the agent has promised to bill."""

    event_id: str
    meter: str
    quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterProof:
    """One meter's figures on both sides."""

    meter: str
    recorded: Decimal
    billed: Decimal
    events: int
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """``missing``: acknowledged, not billed; ``twice``: billed more than once; ``strange``: billed, never recorded."""

    meters: Sequence[MeterProof]
    missing: frozenset[str]
    twice: frozenset[str]
    strange: frozenset[str]

    @property
    def holds(self) -> bool:
        """Every event billed exactly once, and nothing else."""
        return not (self.missing or self.twice or self.strange) and all(m.recorded == m.billed for m in self.meters)


def prove(acknowledged: Iterable[Acknowledged], ledger: Sequence[dict[str, Any]]) -> Proof:
    """Compare the acknowledged events with the ledger's lines (event_id, event_type, quantity as a literal)."""
    promised = {event.event_id: event for event in acknowledged}
    billed = Counter(line["event_id"] for line in ledger)
    meters = sorted({event.meter for event in promised.values()} | {line["event_type"] for line in ledger})
    return Proof(
        meters=[_meter(name, promised.values(), ledger) for name in meters],
        missing=frozenset(promised.keys() - billed.keys()),
        twice=frozenset(event_id for event_id, times in billed.items() if times > 1),
        strange=frozenset(billed.keys() - promised.keys()),
    )


def _meter(name: str, promised: Iterable[Acknowledged], ledger: Iterable[dict[str, Any]]) -> MeterProof:
    recorded = [event.quantity for event in promised if event.meter == name]
    billed = [Decimal(str(line["quantity"])) for line in ledger if line["event_type"] == name]
    return MeterProof(
        meter=name,
        recorded=sum(recorded, Decimal(0)),
        billed=sum(billed, Decimal(0)),
        events=len(recorded),
        lines=len(billed),
    )
