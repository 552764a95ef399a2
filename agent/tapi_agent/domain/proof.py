"""The proof that no usage is lost and none counts twice: what was accepted is what has become of it, in count and sum.

Pure arithmetic over what stores report; who reads it from them is ``services.proof``. The equation, for every stream,
tenant, meter, unit and UTC day: accepted = synced + pending + sealed + ambiguous + local + dead + duplicate + spooled +
forgotten + lost (ADR 0086).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from tapi_agent.domain.canonical import rfc3339
from tapi_agent.domain.usage import EventState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date, datetime
    from uuid import UUID

    from tapi_agent.domain.ids import BatchId, EventId, StreamId

_EXACT: Final = Context(prec=60, traps=[Inexact])
_READ: Final = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal).decode


class Fate(StrEnum):
    """What has become of a place in a stream: exactly one of these."""

    SYNCED = "synced"
    PENDING = "pending"
    SEALED = "sealed"
    AMBIGUOUS = "ambiguous"
    LOCAL = "local"
    DEAD = "dead"
    DUPLICATE = "duplicate"
    SPOOLED = "spooled"
    FORGOTTEN = "forgotten"
    """It was final, and its time to be kept is over."""
    LOST = "lost"
    """The database came back without it; the loss ledger has it."""


class Fault(StrEnum):
    """What can be wrong."""

    MISSING = "MISSING"
    SURPLUS = "SURPLUS"
    SUM_DIFFERS = "SUM_DIFFERS"
    ARRIVALS_DIFFER = "ARRIVALS_DIFFER"
    TOTAL_DIFFERS = "TOTAL_DIFFERS"
    EVENT_DIFFERS = "EVENT_DIFFERS"
    LETTER_MISSING = "LETTER_MISSING"
    BATCH_MISSING = "BATCH_MISSING"
    BATCH_DIFFERS = "BATCH_DIFFERS"
    CHAIN_BROKEN = "CHAIN_BROKEN"
    PLACE_TWICE = "PLACE_TWICE"
    PLACE_AHEAD = "PLACE_AHEAD"

    @property
    def fix(self) -> str:
        """What an operator can do about it."""
        return _FIXES[self]


_FORENSICS: Final = "keep a copy of the database, find who wrote to it, and restore the row from a backup"
_FIXES: Final = {
    Fault.MISSING: "events are gone: look for deleted rows of that day; " + _FORENSICS,
    Fault.SURPLUS: "there is more than was ever accepted: look for rows that no agent wrote; " + _FORENSICS,
    Fault.SUM_DIFFERS: "quantities were changed by hand; " + _FORENSICS,
    Fault.ARRIVALS_DIFFER: "usage_arrivals was changed by hand; " + _FORENSICS,
    Fault.TOTAL_DIFFERS: "usage_totals was changed by hand; " + _FORENSICS,
    Fault.EVENT_DIFFERS: "the row was changed by hand; " + _FORENSICS,
    Fault.LETTER_MISSING: "a dead letter was deleted, its event is still in usage_events; " + _FORENSICS,
    Fault.BATCH_MISSING: "the batch of an event was deleted; " + _FORENSICS,
    Fault.BATCH_DIFFERS: "the batch or its events were changed by hand; do not let it be sent; " + _FORENSICS,
    Fault.CHAIN_BROKEN: "a batch was deleted or changed by hand; " + _FORENSICS,
    Fault.PLACE_TWICE: "two rows claim one place: one of them no agent wrote; " + _FORENSICS,
    Fault.PLACE_AHEAD: "no agent has drained so far: no agent wrote the row; " + _FORENSICS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong: ``subject`` is where (a stream and seq, a batch, a meter and day), ``detail`` what."""

    fault: Fault
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Amount:
    """So many events, and the exact sum of their quantities."""

    events: int = 0
    quantity: Decimal = Decimal(0)

    @override
    def __str__(self) -> str:
        """For people."""
        return f"{self.events} events with {self.quantity:f}"

    def __add__(self, other: Amount) -> Amount:
        """Both together."""
        return Amount(self.events + other.events, _EXACT.add(self.quantity, other.quantity))

    def __sub__(self, other: Amount) -> Amount:
        """What is left."""
        return Amount(self.events - other.events, _EXACT.subtract(self.quantity, other.quantity))


NOTHING: Final = Amount()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose usage: one stream, tenant, meter, unit and UTC day of event_time."""

    stream: StreamId
    tenant_id: str
    meter: str
    unit: str
    day: date

    @override
    def __str__(self) -> str:
        """As findings name it."""
        return f"{self.day} {self.meter} ({self.unit}) of {self.tenant_id}, stream {self.stream}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The equation of one account: what was ``accepted``, what of it ``arrived`` in the database, what became of it."""

    account: Account
    accepted: Amount
    arrived: Amount
    fates: Mapping[Fate, Amount]

    @property
    def unaccounted(self) -> Amount:
        """Accepted, and nowhere to be found; negative when there is more than was accepted."""
        return self.accepted - total(self.fates.values())

    def findings(self) -> Iterator[Finding]:
        """What is wrong with it; nothing when both sides are equal."""
        left = self.unaccounted
        if left != NOTHING:
            yield _unequal(self.account, left)
            return
        here = total(amount for fate, amount in self.fates.items() if fate is not Fate.SPOOLED)
        if here != self.arrived:
            detail = f"{self.arrived} arrived, {here} are here"
            yield Finding(fault=Fault.ARRIVALS_DIFFER, subject=str(self.account), detail=detail)


def _unequal(account: Account, left: Amount) -> Finding:
    if left.events == 0:
        detail = f"as many events as were accepted, but their sum differs by {-left.quantity:f}"
        return Finding(fault=Fault.SUM_DIFFERS, subject=str(account), detail=detail)
    amount = Amount(abs(left.events), abs(left.quantity))
    if left.events < 0:
        return Finding(fault=Fault.SURPLUS, subject=str(account), detail=f"{amount}: more than was accepted")
    return Finding(fault=Fault.MISSING, subject=str(account), detail=f"{amount} were accepted and are nowhere")


def total(amounts: Iterable[Amount]) -> Amount:
    """All together."""
    return sum(amounts, NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvent:
    """A row of usage_events as it is today, with what else is known of it.

    ``batch_state`` is its batch's, ``None`` when there is no such batch; ``has_letter`` says whether a dead letter
    stands in its place, ``drained_seq`` how far its stream has come.
    """

    event_id: EventId
    stream: StreamId
    seq: int
    tenant_id: str
    device_id: str
    camera_id: str
    event_type: str
    resource_id: str
    resource_type: str
    quantity: Decimal
    unit: str
    billable: bool
    event_time: datetime
    corrects: UUID | None
    canonical: str
    state: EventState
    batch_id: BatchId | None
    batch_state: str | None
    has_letter: bool
    drained_seq: int

    @property
    def account(self) -> Account:
        """Whose usage it is."""
        return Account(
            stream=self.stream,
            tenant_id=self.tenant_id,
            meter=self.event_type,
            unit=self.unit,
            day=self.event_time.date(),
        )

    @property
    def fate(self) -> Fate:
        """What has become of it."""
        in_doubt = self.state == EventState.SEALED and self.batch_state == "ambiguous"
        return Fate.AMBIGUOUS if in_doubt else Fate(self.state)

    def findings(self) -> Iterator[Finding]:
        """What is wrong with the row by itself."""
        subject = f"event {self.event_id} (stream {self.stream}, seq {self.seq})"
        if changed := _changed(self):
            detail = f"columns and recorded text differ in {', '.join(changed)}"
            yield Finding(fault=Fault.EVENT_DIFFERS, subject=subject, detail=detail)
        if self.seq > self.drained_seq:
            detail = f"its stream was drained up to {self.drained_seq}"
            yield Finding(fault=Fault.PLACE_AHEAD, subject=subject, detail=detail)
        if self.state == EventState.DEAD and not self.has_letter:
            yield Finding(fault=Fault.LETTER_MISSING, subject=subject, detail="it is dead and has no dead letter")
        if self.batch_id and self.batch_state is None:
            yield Finding(fault=Fault.BATCH_MISSING, subject=subject, detail=f"there is no batch {self.batch_id}")


def _changed(event: KeptEvent) -> list[str]:
    """The columns that say something else than the text that was recorded."""
    try:
        recorded = _READ(event.canonical)
    except (ValueError, ArithmeticError):
        return ["canonical, which is no JSON"]
    if not isinstance(recorded, dict):
        return ["canonical, which is no object"]
    return [name for name, value in _said(event).items() if recorded.get(name, _SILENT.get(name)) != value]


_SILENT: Final[Mapping[str, object]] = {"resource_type": "", "corrects": None, "billable": True}
"""What a text that does not mention a field means."""


def _said(event: KeptEvent) -> dict[str, Any]:
    return {
        "event_id": str(event.event_id),
        "tenant_id": event.tenant_id,
        "device_id": event.device_id,
        "camera_id": event.camera_id,
        "event_type": event.event_type,
        "resource_id": event.resource_id,
        "resource_type": event.resource_type,
        "quantity": event.quantity,
        "unit": event.unit,
        "billable": event.billable,
        "event_time": rfc3339(event.event_time),
        "corrects": str(event.corrects) if event.corrects else None,
    }
