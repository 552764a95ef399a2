"""What events add up to, by tenant, meter and UTC day of event_time."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date
from decimal import Context, Decimal, Inexact
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.ids import TenantId
from tapi_agent.domain.usage import UsageTotal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tapi_agent.domain.usage import UsageEvent

Key = tuple[str, str, str, str]

Fact = tuple[str, str, str, str, bool, "Decimal | str"]
"""What counts of an event: tenant, meter, unit, ISO day, whether it is billable, and the quantity or its text."""

_EXACT: Final = Context(prec=60, traps=[Inexact])
_DATE_LENGTH: Final = 10
_OURS: Final = re.compile(
    r'{"tenant_id":"([^"\\]+)","event_type":"([^"\\]+)","resource_id":"(?:[^"\\]|\\.)*"'
    r',"quantity":(-?[0-9]+(?:\.[0-9]+)?),"unit":"([^"\\]+)","event_time":"(\d{4}-\d\d-\d\d)T'
)
"""The order of the fields is ``canonical_text``'s. An event that is not billable says so at its end."""
_LOCAL: Final = ',"billable":false}'
_READ: Final = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal).decode


def tally(texts: Iterable[str]) -> list[UsageTotal]:
    """The totals of events given by their canonical texts, in order of tenant, meter, unit and day."""
    return sum_up(map(_fact, texts))


def tally_events(events: Iterable[UsageEvent]) -> list[UsageTotal]:
    """The totals of ``events``, in the same order."""
    return sum_up(
        (event.tenant_id, event.event_type, event.unit, _day(event.event_time), event.billable, event.quantity)
        for event in events
    )


def take_away(totals: Iterable[UsageTotal], part: Iterable[UsageTotal]) -> list[UsageTotal]:
    """What is left of ``totals`` without a ``part`` of them; what comes to nothing is left out."""
    left = add_up(totals, map(_negative, part))
    return [total for total in left if total.events or total.local_events]


def add_up(*parts: Iterable[UsageTotal]) -> list[UsageTotal]:
    """Totals from several places as one list, in the same order."""
    found: dict[Key, UsageTotal] = {}
    for total in (total for part in parts for total in part):
        key = (total.tenant_id, total.meter, total.unit, total.day.isoformat())
        found[key] = _plus(found[key], total) if key in found else total
    return [found[key] for key in sorted(found)]


@lru_cache(maxsize=64)
def _day(at: datetime) -> str:
    return at.date().isoformat()


def _fact(text: str) -> Fact:
    """Read off the front and the end of our own texts; a text in any other form is read as JSON."""
    if found := _OURS.match(text):
        tenant_id, event_type, quantity, unit, day = found.groups()
        return tenant_id, event_type, unit, day, not text.endswith(_LOCAL), quantity
    event = _READ(text)
    day = event["event_time"][:_DATE_LENGTH]
    return event["tenant_id"], event["event_type"], event["unit"], day, event.get("billable", True), event["quantity"]


def sum_up(facts: Iterable[Fact]) -> list[UsageTotal]:
    """The totals of events given by what counts of them, in order of tenant, meter, unit and day.

    Many events say the same: they are counted before anything is added.
    """
    counts: dict[tuple[Key, bool], int] = defaultdict(int)
    sums: dict[tuple[Key, bool], Decimal] = defaultdict(Decimal)
    for (tenant_id, meter, unit, day, billable, quantity), times in Counter(facts).items():
        part = (tenant_id, meter, unit, day), billable
        counts[part] += times
        sums[part] = _EXACT.add(sums[part], _EXACT.multiply(Decimal(quantity), times))
    return [_total(key, counts, sums) for key in sorted({key for key, _ in counts})]


def _total(key: Key, counts: dict[tuple[Key, bool], int], sums: dict[tuple[Key, bool], Decimal]) -> UsageTotal:
    tenant_id, meter, unit, day = key
    return UsageTotal(
        tenant_id=TenantId(tenant_id),
        meter=meter,
        unit=unit,
        day=date.fromisoformat(day),
        events=counts.get((key, True), 0),
        quantity=sums.get((key, True), Decimal(0)),
        local_events=counts.get((key, False), 0),
        local_quantity=sums.get((key, False), Decimal(0)),
    )


def _plus(one: UsageTotal, other: UsageTotal) -> UsageTotal:
    return UsageTotal(
        tenant_id=one.tenant_id,
        meter=one.meter,
        unit=one.unit,
        day=one.day,
        events=one.events + other.events,
        quantity=_EXACT.add(one.quantity, other.quantity),
        local_events=one.local_events + other.local_events,
        local_quantity=_EXACT.add(one.local_quantity, other.local_quantity),
    )


def _negative(total: UsageTotal) -> UsageTotal:
    return replace(
        total,
        events=-total.events,
        quantity=_EXACT.minus(total.quantity),
        local_events=-total.local_events,
        local_quantity=_EXACT.minus(total.local_quantity),
    )
