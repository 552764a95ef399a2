"""``Delivery``: when to drain, when to send, in which order. How is left to the other modules of this package."""

from __future__ import annotations

import asyncio
import hashlib
import math
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import telemetry
from tapi_agent.domain.backoff import fraction, full_jitter
from tapi_agent.domain.errors import TapiError, UnavailableError
from tapi_agent.ports.usage import SyncRound
from tapi_agent.services.connectivity import POSTGRES
from tapi_agent.services.delivery.drainer import Drainer
from tapi_agent.services.delivery.inquiry import Inquiry
from tapi_agent.services.delivery.lanes import Lanes
from tapi_agent.services.delivery.reports import Backlog, SyncReport
from tapi_agent.services.delivery.sender import Sender
from tapi_agent.services.delivery.settler import Settler
from tapi_agent.services.delivery.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from tapi_agent.domain.delivery import WireBatch
    from tapi_agent.domain.ids import DeviceId
    from tapi_agent.domain.settlement import Pause
    from tapi_agent.domain.usage import UsageTotal
    from tapi_agent.ports.billing import BillingService
    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.services.connectivity import Connectivity
    from tapi_agent.services.delivery.terms import DeliveryTerms, UsageStores

log = structlog.get_logger(__name__)

_FIRST_WAIT: Final = timedelta(milliseconds=100)
_LONGEST_WAIT: Final = timedelta(seconds=5)
"""Between tries to reach our own stores, which are near."""
_ENTROPY: Final = 7


class Delivery:
    """Brings what the spool holds to the billing service; ``monotonic`` in seconds."""

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        stores: UsageStores,
        billing: BillingService,
        connectivity: Connectivity,
        clock: TrustedClock,
        monotonic: Callable[[], float],
        entropy: Callable[[int], bytes],
        device_id: DeviceId,
        terms: DeliveryTerms,
    ) -> None:
        self._stores = stores
        self._connectivity = connectivity
        self._clock = clock
        self._monotonic = monotonic
        self._entropy = entropy
        self._terms = terms
        self._patience = terms.interval / 2 * (1 - fraction(hashlib.sha256(device_id.encode()).digest()) / 4)
        self._sink = Sink(terms=terms, monotonic=monotonic, entropy=entropy)
        self._drainer = Drainer(spool=stores.spool, ledger=stores.ledger)
        self._settler = Settler(stores=stores, terms=terms, sink=self._sink)
        self._inquiry = Inquiry(stores=stores, billing=billing, terms=terms, sink=self._sink, settler=self._settler)
        self._sender = Sender(
            stores=stores,
            billing=billing,
            connectivity=connectivity,
            clock=clock,
            terms=terms,
            sink=self._sink,
            settler=self._settler,
        )
        self._lanes = Lanes(sender=self._sender, sink=self._sink, full=terms.batch_size)
        self._syncing = asyncio.Lock()
        self._trouble = ""
        self._drain_now, self._sync_now = asyncio.Event(), asyncio.Event()

    @property
    def paused(self) -> Pause | None:
        """Why nothing is sent, apart from single tries; ``None`` when nothing is wrong."""
        return self._sink.pause

    def on_delivered(self, listener: Callable[[WireBatch], None]) -> None:
        """Tell ``listener`` of every settled batch of which the service has taken something."""
        self._settler.on_delivered(listener)

    def on_drained(self, listener: Callable[[], None]) -> None:
        """Tell ``listener`` whenever the database has more events."""
        self._drainer.on_drained(listener)

    def when_cramped(self, relieve: Callable[[], None]) -> None:
        """Have ``relieve`` make some room when what was drained cannot even be deleted for want of it."""
        self._drainer.when_cramped(relieve)

    def on_lost(self, listener: Callable[[Sequence[UsageTotal]], None]) -> None:
        """Tell ``listener`` of what the database came back without."""
        self._drainer.on_lost(listener)

    def wake(self) -> None:
        """A dependency is back: drain and send now."""
        self._sink.wake()
        self._drain_now.set()
        self._sync_now.set()

    async def run(self) -> None:
        """Until cancelled: drain what comes, send when woken. The first round takes up what a kill left behind."""
        self._sync_now.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._drain_always(), name="drain")
            group.create_task(self._sync_when_woken(), name="sync when woken")

    async def close(self) -> None:
        """Let a request that is under way come to its end, so that nobody has to ask what became of it."""
        await self._lanes.close()

    async def drain(self) -> int:
        """Empty the spool into the database; returns how many events. Raises ``UnavailableError`` of either."""
        return await self._drainer.drain()

    async def flush(self) -> SyncReport:
        """Drain and send everything now, also what rests after a failure."""
        self._sink.wake()
        trouble = ""
        try:
            await self.drain()
        except TapiError as error:
            trouble = str(error)
        report = await self.sync(hasten=True)
        return replace(report, trouble=trouble or report.trouble)

    async def sync_if_due(self) -> SyncReport | None:
        """Send when there is reason to: enough waits, something waits for half the interval, or a batch is due."""
        if self._syncing.locked() or self._sink.resting:
            return None
        try:
            oldest = self._clock.now() - self._patience
            due = await self._stores.batches.due(limit=self._terms.batch_size, before=oldest)
        except UnavailableError:
            return None
        return await self.sync() if due else None

    async def sync(self, *, hasten: bool = False) -> SyncReport:
        """Send until nothing is left or the service takes no more; ``hasten`` what waits after a failure."""
        async with self._syncing:
            report, started = SyncReport(), self._monotonic()
            try:
                began = await self._take_up(hasten=hasten)
                report = await self._lanes.send_all(began)
            except TapiError as error:
                report = replace(report, trouble=str(error))
            self._note(report.trouble)
            await self._write_down(report, took=timedelta(seconds=self._monotonic() - started))
            return replace(report, paused=self.paused)

    async def backlog(self) -> Backlog:
        """How much waits where; does not wait for a PostgreSQL that is known to be down."""
        spooled = self._stores.spool.depth
        postgres = self._connectivity.report().get(POSTGRES)
        if postgres and postgres.up is False:
            return Backlog(spooled=spooled, paused=self.paused)
        try:
            pending = await self._stores.ledger.pending()
        except UnavailableError:
            return Backlog(spooled=spooled, paused=self.paused)
        return Backlog(spooled=spooled, paused=self.paused, **asdict(pending))

    async def measure(self) -> None:
        """Tell the metrics how much waits where, and for how long."""
        found = await self.backlog()
        for stretch, events in found.stretches.items():
            telemetry.USAGE_BACKLOG.labels(stretch=stretch).set(math.nan if events is None else events)
        oldest = found.oldest_pending_at
        telemetry.USAGE_OLDEST.set((self._clock.now() - oldest).total_seconds() if oldest else 0)

    def _note(self, trouble: str) -> None:
        """Log the first round that ends early, and the first one after it that does not."""
        if trouble and not self._trouble:
            log.warning("usage.sync_stopped", error=trouble)
        elif self._trouble and not trouble:
            log.info("usage.sync_goes_on")
        self._trouble = trouble

    async def _write_down(self, report: SyncReport, *, took: timedelta) -> None:
        """Note the round for reports, if it sent anything; one that cannot be noted is not."""
        if not report.batches:
            return
        done = SyncRound(took=took, synced=report.synced, error=report.trouble or self._sink.trouble)
        with suppress(TapiError):
            await self._stores.memory.note(self._terms.service, done)

    async def _take_up(self, *, hasten: bool) -> datetime:
        """What earlier rounds, or an earlier run, have left open; returns when this round began."""
        await self._drainer.compare()
        began = await self._sender.begin()
        if hasten:
            await self._stores.batches.hasten()
        await self._settler.judge_all()
        await self._inquiry.resolve_all(self._sender.memory)
        return began

    async def _drain_always(self) -> None:
        failures = 0
        while True:
            await self._stores.spool.filled()
            try:
                await self.drain()
                failures = 0
            except TapiError as error:
                failures += 1
                if failures == 1:
                    log.warning("usage.drain_waits", error=str(error), fix=error.fix)
                await self._rest(failures, self._drain_now)
            telemetry.SPOOL_EVENTS.set(self._stores.spool.depth)

    async def _sync_when_woken(self) -> None:
        failures = 0
        while True:
            await self._sync_now.wait()
            self._sync_now.clear()
            report = await self.sync(hasten=True)
            failures = failures + 1 if report.trouble else 0
            if report.trouble:
                await self._rest(failures, self._sync_now)
                self._sync_now.set()

    async def _rest(self, failures: int, woken: asyncio.Event) -> None:
        """Wait after a failure of our own stores, or until woken."""
        woken.clear()
        pause = full_jitter(failures, first=_FIRST_WAIT, limit=_LONGEST_WAIT, entropy=self._entropy(_ENTROPY))
        with suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), pause.total_seconds())
