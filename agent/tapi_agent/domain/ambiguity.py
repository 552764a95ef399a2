"""Whether a classic service has stored an ambiguous batch, told by its sums over the batch's own span of time."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tapi_agent.domain.ids import TenantId

FIELDS: Final = {
    "api_call": "api_calls",
    "llm_tokens": "llm_tokens_used",
    "storage_gb_days": "storage_gb_days",
    "sms_sent": "sms_sent",
    "agent_execution": "agent_executions",
}
"""Meters that GET /billing/usage shows, and the names it shows them under."""

_NONE: Final = Decimal(0)


class Storage(StrEnum):
    """What the sums say of a batch."""

    STORED = "stored"
    NOT_STORED = "not_stored"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSum:
    """One meter of an ambiguous batch within the batch's span: sums of quantity.

    ``batch`` is the batch's own, ``known`` what the service is known to have besides, ``others`` what other batches in
    doubt have in the span; ``clear`` is false when nobody can tell from sums: another one is ``under_way``, or with
    others in doubt some quantities are negative.
    """

    meter: str
    batch: Decimal
    known: Decimal
    clear: bool
    others: Decimal = _NONE
    under_way: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What an ambiguous batch holds of one tenant: first and last event_time, and its meters."""

    tenant_id: TenantId
    first: datetime
    last: datetime
    meters: tuple[MeterSum, ...]

    @property
    def under_way(self) -> bool:
        """Whether a request with other events of the span is, so that its sums may change while they are asked for."""
        return any(meter.under_way for meter in self.meters)


def weigh(spans: Iterable[tuple[Span, Mapping[str, Decimal]]], *, partial: bool) -> Storage:
    """What the sums that the service reports for each span say of the batch.

    One meter that tells is enough, as a batch is stored as a whole. When the service has said itself that it stored
    only a part (``partial``), nothing short of every meter shows that all of it is there, and nothing that none is.
    """
    said = [_meter_says(meter, sums) for span, sums in spans for meter in span.meters]
    told = {word for word in said if word is not None}
    if partial:
        return Storage.STORED if said and set(said) == {Storage.STORED} else Storage.UNDECIDED
    return told.pop() if len(told) == 1 else Storage.UNDECIDED


def _meter_says(meter: MeterSum, sums: Mapping[str, Decimal]) -> Storage | None:
    """``None`` when this meter tells nothing; undecided when its sum is neither that with the batch nor without.

    With others in doubt: the sum without any of them is without the batch, and that with all of them is with it.
    """
    reported = sums.get(FIELDS.get(meter.meter, ""))
    if reported is None or not meter.clear:
        return None
    all_but_it, it_alone = meter.known + meter.others, meter.known + meter.batch
    without, including = _is(reported, meter.known), _is(reported, all_but_it + meter.batch)
    if (without and _is(reported, it_alone)) or (including and _is(reported, all_but_it)):
        return None
    if without:
        return Storage.NOT_STORED
    return Storage.STORED if including else Storage.UNDECIDED


def _is(reported: Decimal, amount: Decimal) -> bool:
    """Whether a service that cuts counts to integers would report this amount."""
    return reported in (amount, int(amount))
