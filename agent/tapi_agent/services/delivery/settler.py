"""Carries out what a reply means: on the batch, on the batch it was split from, on the link, on what is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import structlog

from tapi_agent import telemetry
from tapi_agent.domain.bisection import Verdict, judge
from tapi_agent.domain.delivery import WireBatch
from tapi_agent.domain.settlement import (
    Ambiguous,
    Halve,
    Pause,
    PauseReason,
    Refused,
    Reseal,
    Retry,
    Settled,
    Settlement,
    learned,
)
from tapi_agent.services.delivery.sink import heed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.domain.batch import LeasedBatch
    from tapi_agent.domain.bisection import RootTally
    from tapi_agent.domain.ids import BatchId
    from tapi_agent.domain.settlement import ServiceMemory
    from tapi_agent.services.delivery.sink import Sink
    from tapi_agent.services.delivery.terms import DeliveryTerms, UsageStores

log = structlog.get_logger(__name__)


class Settler:
    """Every call may be repeated after an ``UnavailableError``: what had been written down counts."""

    def __init__(self, *, stores: UsageStores, terms: DeliveryTerms, sink: Sink) -> None:
        self._stores = stores
        self._terms = terms
        self._sink = sink
        self._listeners: list[Callable[[WireBatch], None]] = []

    def on_delivered(self, listener: Callable[[WireBatch], None]) -> None:
        """Tell ``listener`` of every batch of which the service has taken something. It may neither wait nor raise."""
        self._listeners.append(listener)

    def announce(self, batch: WireBatch) -> None:
        """This one is settled, and written down."""
        for listener in self._listeners:
            listener(batch)

    async def carry_out(self, batch: LeasedBatch, settlement: Settlement, memory: ServiceMemory) -> ServiceMemory:
        """Write down what became of ``batch``; returns what is now known of the service."""
        now_known = learned(memory, settlement, size=len(batch.body))
        if now_known != memory:
            await self._stores.memory.remember(self._terms.service, now_known)
            _log_lesson(memory, now_known)
        await self._apply(batch, settlement)
        telemetry.USAGE_BATCHES.labels(outcome=type(settlement).__name__.lower()).inc()
        if batch.root_id != batch.batch_id or isinstance(settlement, Refused):
            await self.judge(batch.root_id)
        return now_known

    async def judge_all(self) -> None:
        """Decide what a killed agent may have left undecided."""
        for root_id in await self._stores.roots.awaiting():
            await self.judge(root_id)

    async def judge(self, root_id: BatchId) -> None:
        """Decide about the events of a root that were refused alone, if there are any and it can be decided."""
        tally = await self._stores.roots.tally(root_id)
        match judge(tally):
            case Verdict.WAIT:
                return
            case Verdict.BURY:
                _count_dead(await self._stores.roots.bury(root_id))
            case Verdict.HOLD:
                await self._restore(root_id, tally, only_refused=True)
            case Verdict.RESTORE:
                await self._restore(root_id, tally, only_refused=False)

    async def _restore(self, root_id: BatchId, tally: RootTally, *, only_refused: bool) -> None:
        delay = self._sink.wait(tally.attempts)
        await self._stores.roots.restore(root_id, delay=delay, only_refused=only_refused)
        detail = f"{tally.refused} events of a batch of {tally.events} were refused one by one"
        self._sink.failed(detail, pause=Pause(reason=PauseReason.REFUSES_EVERYTHING, detail=detail))

    async def _apply(self, batch: LeasedBatch, settlement: Settlement) -> None:
        match settlement:
            case Settled():
                await self._settle(batch, settlement)
            case Retry():
                await self._retry(batch, settlement)
            case Halve(detail=detail):
                await self._stores.batches.replace(batch, parts=2, dialect=batch.dialect, detail=detail)
            case Refused(death=death, at_once=True):
                await self._settle(batch, Settled(dead={batch.event_ids[0]: death}))
            case Refused(death=death):
                await self._stores.batches.refuse(batch, detail=death.detail)
            case Reseal():
                await self._reseal(batch, settlement)
            case Ambiguous():
                await self._doubt(batch, settlement)
            case _:
                assert_never(settlement)

    async def _settle(self, batch: LeasedBatch, settled: Settled) -> None:
        await self._stores.batches.settle(batch.batch_id, settled, delay=self._sink.wait(batch.attempts))
        _count_dead(len(settled.dead))
        if settled.synced:
            self._sink.delivered()
            self.announce(WireBatch(batch_id=batch.batch_id, body=batch.body, dialect=batch.dialect))

    async def _retry(self, batch: LeasedBatch, retry: Retry) -> None:
        """After a rest of the whole link the batch waits on, so that next time another one goes first."""
        rest = heed(retry.retry_after)
        if retry.service_wide:
            rest = self._sink.failed(retry.detail, retry_after=retry.retry_after, pause=retry.pause)
        delay = rest + self._sink.wait(batch.attempts) / 2
        await self._stores.batches.retry(batch, detail=retry.detail, delay=delay, nothing_stored=retry.nothing_stored)

    async def _reseal(self, batch: LeasedBatch, reseal: Reseal) -> None:
        dialect = reseal.dialect or batch.dialect
        await self._stores.batches.replace(batch, parts=1, dialect=dialect, detail=reseal.detail)
        if reseal.pause:
            self._sink.failed(reseal.detail, pause=reseal.pause)

    async def _doubt(self, batch: LeasedBatch, doubt: Ambiguous) -> None:
        quiet = self._terms.quiet
        await self._stores.batches.doubt(batch, detail=doubt.detail, delay=quiet, partial=doubt.partial)
        log.warning("usage.ambiguous", batch=str(batch.batch_id), events=len(batch.event_ids), detail=doubt.detail)
        if not doubt.partial:
            self._sink.failed(doubt.detail, retry_after=doubt.retry_after, pause=doubt.pause)


def _log_lesson(before: ServiceMemory, now: ServiceMemory) -> None:
    """A limit that is outgrown bit by bit is no news."""
    if (before.dedupes, before.dialect) != (now.dedupes, now.dialect) or now.max_bytes < before.max_bytes:
        log.info("usage.service_learned", dedupes=now.dedupes, dialect=now.dialect, max_bytes=now.max_bytes)


def _count_dead(events: int) -> None:
    if events:
        telemetry.USAGE_DEAD_LETTERS.inc(events)
        log.error("usage.dead_letters", events=events)
