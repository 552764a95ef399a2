"""Counts usage that will never reach the bill, in memory at once and in the loss ledger soon after; tells of it.

Refusals come by the thousand on a full disk: they are added up and written once a second. What had been acknowledged
and is lost is written before the call returns.
"""

from __future__ import annotations

import asyncio
import threading
from decimal import Context, Inexact
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import telemetry
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.loss import Loss, LossKind
from tapi_agent.domain.tally import add_up, tally_events

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tapi_agent.domain.usage import UsageEvent, UsageTotal
    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.ports.losses import LossLedger

_EXACT: Final = Context(prec=60, traps=[Inexact])

log = structlog.get_logger(__name__)


class Losses:
    """Safe to call from any thread."""

    def __init__(self, *, ledger: LossLedger, clock: TrustedClock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: Sequence[UsageTotal] = ()
        self._since: datetime | None = None

    async def start(self) -> None:
        """Have the ledger take its space while there is some."""
        try:
            await self.report()
        except UnavailableError as error:
            log.warning("losses.unavailable", error=str(error), fix=error.fix)

    def refused(self, events: Sequence[UsageEvent]) -> None:
        """These were not acknowledged, for want of room."""
        now = self._clock.now()
        with self._lock:
            self._since = self._since or now
            self._refused = add_up(self._refused, tally_events(events))
        _count(LossKind.REFUSED, tally_events(events))

    def lost(self, kind: LossKind, totals: Sequence[UsageTotal]) -> None:
        """These had been acknowledged."""
        _count(kind, totals)
        now = self._clock.now()
        try:
            self._ledger.note(_losses(kind, totals, since=now, now=now))
        except UnavailableError as error:
            log.exception("losses.not_written", kind=kind, events=sum(map(_events, totals)), fix=error.fix)

    async def write_down(self) -> None:
        """Write what was refused since the last time; what cannot be written stays for the next time."""
        with self._lock:
            refused, since = self._refused, self._since
            self._refused, self._since = (), None
        if not refused or since is None:
            return
        losses = _losses(LossKind.REFUSED, refused, since=since, now=self._clock.now())
        try:
            await asyncio.to_thread(self._ledger.note, losses)
        except UnavailableError:
            with self._lock:
                self._refused, self._since = add_up(self._refused, refused), since

    async def report(self) -> Sequence[Loss]:
        """All losses so far, by kind and meter. Raises ``UnavailableError``."""
        await self.write_down()
        return await asyncio.to_thread(self._ledger.report)


def _losses(kind: LossKind, totals: Sequence[UsageTotal], *, since: datetime, now: datetime) -> Sequence[Loss]:
    return [
        Loss(
            kind=kind,
            meter=total.meter,
            events=_events(total),
            quantity=_EXACT.add(total.quantity, total.local_quantity),
            first_at=since,
            last_at=now,
        )
        for total in totals
    ]


def _events(total: UsageTotal) -> int:
    return total.events + total.local_events


def _count(kind: LossKind, totals: Sequence[UsageTotal]) -> None:
    for total in totals:
        telemetry.USAGE_LOST.labels(kind=kind, meter=total.meter).inc(_events(total))
