"""``usage reconcile``: what the billing service has beside what was delivered to it, and sending again what it lacks.

A service with the extension is asked for its totals and, where they differ, for each event id. Any other one is asked
for the sums it gives; it is never sent anything again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.ambiguity import FIELDS
from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.ids import TenantId
from tapi_agent.domain.proof import NOTHING, Amount
from tapi_agent.domain.reconciliation import Comparison, Identified
from tapi_agent.domain.usage import EventState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from tapi_agent.domain.ids import EventId
    from tapi_agent.ports.billing import BilledTotal, BillingService
    from tapi_agent.ports.proof import Delivered, Deliveries
    from tapi_agent.services.proof.service_facts import ServiceFacts

log = structlog.get_logger(__name__)

_MOST_NAMED: Final = 1000
_LAST: Final = timedelta(days=1) - timedelta(microseconds=1)
_CUT: Final = frozenset(FIELDS) - {"storage_gb_days"}
"""Meters whose sums a service of today cuts to integers."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayComparison:
    """One day; ``extended`` says whether the service could be asked for its totals and ids."""

    day: date
    extended: bool
    lines: Sequence[Comparison]


class Reconciliation:
    """``wake`` has delivery look for what waits."""

    def __init__(
        self, *, deliveries: Deliveries, billing: BillingService, facts: ServiceFacts, wake: Callable[[], None]
    ) -> None:
        self._deliveries = deliveries
        self._billing = billing
        self._facts = facts
        self._wake = wake

    async def days(self) -> Sequence[date]:
        """Days of which something billable was counted."""
        return await self._deliveries.days()

    async def day(self, day: date, *, every_id: bool = False) -> DayComparison:
        """One day; ``every_id`` looks up each event even where the totals are equal.

        Raises what the billing service raises.
        """
        return await self._compare(day, every_id=every_id, resend=False)

    async def resend(self, day: date, *, every_id: bool = False) -> DayComparison:
        """As ``day``, and what the service lacks goes out again.

        Raises ``RejectedError`` (``service_does_not_dedupe``) for one that would bill twice what it has after all.
        """
        if not await self._facts.dedupes():
            raise RejectedError(
                "the service has not shown that it dedupes: what it has after all would be billed twice",
                code="service_does_not_dedupe",
                fix="compare without --resend; what is missing can be recorded as a new event",
            )
        return await self._compare(day, every_id=every_id, resend=True)

    async def _compare(self, day: date, *, every_id: bool, resend: bool) -> DayComparison:
        ours = await self._deliveries.of_day(day)
        first, last = _bounds(day)
        theirs = await self._billing.usage_totals(start=first, end=last)
        if theirs is None:
            return DayComparison(day=day, extended=False, lines=await self._by_sums(day, ours))
        lines = _side_by_side(ours, [total for total in theirs if total.day == day])
        gone = {(one.tenant_id, one.meter): one.gone for one in ours}
        found = [
            line if line.equal and not every_id else await self._identify(day, line, gone, resend=resend)
            for line in lines
        ]
        return DayComparison(day=day, extended=True, lines=found)

    async def _by_sums(self, day: date, ours: Sequence[Delivered]) -> Sequence[Comparison]:
        """A service of today tells sums of some meters."""
        first, last = _bounds(day)
        by_tenant: dict[str, list[Delivered]] = defaultdict(list)
        for one in ours:
            by_tenant[one.tenant_id].append(one)
        lines: list[Comparison] = []
        for tenant_id, own in by_tenant.items():
            sums = await self._billing.usage_sums(TenantId(tenant_id), start=first, end=last)
            for one in own:
                told = sums.get(FIELDS.get(one.meter, ""))
                line = replace(_line(one, None), their_events=None, their_quantity=told, whole=one.meter in _CUT)
                lines.append(line)
        return lines

    async def _identify(self, day: date, line: Comparison, gone: dict[Key, int], *, resend: bool) -> Comparison:
        """Which events are missing or extra, by asking for each."""
        missing, extra, there, resent = _Named(), _Named(), 0, 0
        async for states in self._deliveries.events(day=day, tenant_id=line.tenant_id, meter=line.meter):
            known = await self._billing.look_up(list(states))
            there += len(known)
            lacking = [one for one, state in states.items() if state == EventState.SYNCED and one not in known]
            missing.add(lacking)
            extra.add([one for one, state in states.items() if state == EventState.DEAD and one in known])
            resent += await self._send_again(lacking) if resend and lacking else 0
        nameless = (line.their_events or 0) - there - gone.get((line.tenant_id, line.meter), 0)
        identified = Identified(
            missing=missing.count,
            missing_ids=missing.ids,
            extra=extra.count,
            extra_ids=extra.ids,
            nameless=nameless,
            resent=resent,
        )
        return replace(line, identified=identified)

    async def _send_again(self, event_ids: Sequence[EventId]) -> int:
        sent = await self._deliveries.send_again(event_ids)
        log.warning("usage.resent", events=sent)
        self._wake()
        return sent


class _Named:
    """A count, and the first of what was counted."""

    def __init__(self) -> None:
        self.count = 0
        self.ids: list[EventId] = []

    def add(self, event_ids: Sequence[EventId]) -> None:
        self.count += len(event_ids)
        self.ids += event_ids[: _MOST_NAMED - len(self.ids)]


def _side_by_side(ours: Sequence[Delivered], theirs: Sequence[BilledTotal]) -> Sequence[Comparison]:
    told = {(total.tenant_id, total.meter): total for total in theirs}
    lines = [_line(one, told.pop((one.tenant_id, one.meter), None)) for one in ours]
    strangers = [
        Comparison(
            tenant_id=total.tenant_id,
            meter=total.meter,
            ours=NOTHING,
            in_doubt=NOTHING,
            their_events=total.events,
            their_quantity=total.quantity,
        )
        for total in told.values()
    ]
    return [*lines, *strangers]


def _line(one: Delivered, told: BilledTotal | None) -> Comparison:
    theirs = Amount(told.events, told.quantity) if told else NOTHING
    return Comparison(
        tenant_id=one.tenant_id,
        meter=one.meter,
        ours=one.synced,
        in_doubt=one.in_doubt,
        their_events=theirs.events,
        their_quantity=theirs.quantity,
    )


def _bounds(day: date) -> tuple[datetime, datetime]:
    """First and last instant of a UTC day, as the contract's inclusive bounds."""
    first = datetime.combine(day, time(), UTC)
    return first, first + _LAST
