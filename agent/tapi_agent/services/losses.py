"""Counts usage that will never reach the bill, in memory at once and in the loss ledger soon after; tells of it.

Refusals come by the thousand on a full disk: they are added up and written once a second. What had been acknowledged
and is lost is written before the call returns.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from decimal import Context, Inexact
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import telemetry
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.loss import Loss, LossKind, add_up_losses
from tapi_agent.domain.tally import tally_events

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
        self._adding = threading.Lock()
        self._writing = threading.Lock()  # held while the disk works: the event loop waits for the other one only
        self._unwritten: list[Loss] = []

    @property
    def unwritten(self) -> Sequence[Loss]:
        """What the ledger does not have yet."""
        return self._unwritten

    async def start(self) -> None:
        """Have the ledger take its space while there is some."""
        try:
            await self.report()
        except UnavailableError as error:
            log.warning("losses.unavailable", error=str(error), fix=error.fix)

    def refused(self, events: Sequence[UsageEvent]) -> None:
        """These were not acknowledged."""
        self._count(LossKind.REFUSED, tally_events(events))

    def lost(self, kind: LossKind, totals: Sequence[UsageTotal]) -> None:
        """These had been acknowledged."""
        self._count(kind, totals)
        try:
            self._write()
        except UnavailableError as error:
            log.exception("losses.not_written", kind=kind, events=sum(map(_events, totals)), fix=error.fix)

    async def write_down(self) -> None:
        """Write what came since the last time; what cannot be written stays for the next time."""
        if self._unwritten:
            with suppress(UnavailableError):
                await asyncio.to_thread(self._write)

    async def report(self) -> Sequence[Loss]:
        """All losses so far, by kind and meter. Raises ``UnavailableError``."""
        await self.write_down()
        return await asyncio.to_thread(self._all)

    def _count(self, kind: LossKind, totals: Sequence[UsageTotal]) -> None:
        for total in totals:
            telemetry.USAGE_LOST.labels(kind=kind, meter=total.meter).inc(_events(total))
        self._add(_losses(kind, totals, at=self._clock.now()))

    def _add(self, losses: Sequence[Loss]) -> None:
        with self._adding:
            self._unwritten = add_up_losses([*self._unwritten, *losses])

    def _write(self) -> None:
        with self._writing:
            with self._adding:
                losses, self._unwritten = self._unwritten, []
            try:
                self._ledger.note(losses)
            except UnavailableError:
                self._add(losses)
                raise

    def _all(self) -> Sequence[Loss]:
        with self._writing:
            return add_up_losses([*self._ledger.report(), *self._unwritten])


def _losses(kind: LossKind, totals: Sequence[UsageTotal], *, at: datetime) -> list[Loss]:
    return [
        Loss(
            kind=kind,
            meter=total.meter,
            events=_events(total),
            quantity=_EXACT.add(total.quantity, total.local_quantity),
            first_at=at,
            last_at=at,
        )
        for total in totals
    ]


def _events(total: UsageTotal) -> int:
    return total.events + total.local_events
