"""Takes batches to the billing service. No transaction is open while a request is under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tapi_agent import telemetry
from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.delivery import Known, WireBatch, read_reply
from tapi_agent.domain.errors import IntegrityError, RejectedError, UnavailableError
from tapi_agent.domain.ids import time_of
from tapi_agent.domain.settlement import PauseReason, Refused, Retry, ServiceMemory, Settled, Settlement
from tapi_agent.failpoints import Failpoint, reach
from tapi_agent.services.connectivity import BILLING

if TYPE_CHECKING:
    from datetime import datetime

    from tapi_agent.domain.batch import LeasedBatch
    from tapi_agent.domain.ids import BatchId
    from tapi_agent.ports.billing import BillingService
    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.services.connectivity import Connectivity
    from tapi_agent.services.delivery.settler import Settler
    from tapi_agent.services.delivery.sink import Sink
    from tapi_agent.services.delivery.terms import DeliveryTerms, UsageStores

_NO_LINK = (PauseReason.UNREACHABLE, PauseReason.TLS)


class Sender:
    """Several batches may be under way at once; each is chosen and settled by itself. ``memory`` is of the service."""

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        stores: UsageStores,
        billing: BillingService,
        connectivity: Connectivity,
        clock: TrustedClock,
        terms: DeliveryTerms,
        sink: Sink,
        settler: Settler,
    ) -> None:
        self._stores = stores
        self._billing = billing
        self._connectivity = connectivity
        self._clock = clock
        self._lease_ends: dict[BatchId, datetime] = {}
        self._terms = terms
        self._sink = sink
        self._settler = settler
        self._owed: dict[BatchId, tuple[LeasedBatch, Settlement]] = {}
        self._choosing, self._settling = asyncio.Lock(), asyncio.Lock()
        self.memory = ServiceMemory()

    async def begin(self) -> datetime:
        """Begin a round: write down what could not be written down, take back what ended senders left.

        Returns when it began, by the database's clock.
        """
        self.memory = await self._stores.memory.recall(self._terms.service)
        for batch_id in list(self._owed):
            await self._settle(batch_id)
        await self._stores.batches.reclaim(dedupes=self.memory.dedupes, quiet=self._terms.quiet)
        return await self._stores.batches.now()

    async def next(self, began: datetime) -> LeasedBatch | None:
        """The oldest batch that is due; when none is, a new one of what is pending; ``None`` when nothing is.

        Each batch comes once in the round that ``began``. While sending fails a new one is made first: it may be the
        batch at hand that fails, and not the service.
        """
        async with self._choosing:
            if self._sink.failing:
                await self._seal()
            while (batch := await self._lease(began)) is None:
                if not await self._seal():  # else another agent may have been quicker to take it
                    break
            return batch

    async def deliver(self, batch: LeasedBatch) -> Settlement:
        """Send a leased batch and write down what became of it.

        After a long stop it is somebody else's by now: a service that does not dedupe would bill it twice.
        """
        reach(Failpoint.SEND_BEGUN)
        if self._clock.now() >= self._lease_ends.pop(batch.batch_id):
            return await self._settle_for(batch, Retry(detail="its lease ended before it was sent", service_wide=False))
        reply = await self._billing.send_usage(
            WireBatch(batch_id=batch.batch_id, body=batch.body, dialect=batch.dialect)
        )
        reach(Failpoint.SEND_ANSWERED)
        dedupes = self.memory.dedupes and batch.dialect is Dialect.EXTENDED
        settlement = read_reply(
            reply, batch, Known(dedupes=dedupes, may_fall_back=self._terms.dialect is None and not dedupes)
        )
        self._tell_connectivity(settlement)
        if dedupes and isinstance(settlement, Refused):
            settlement = await self._spare(batch, settlement)
        await self._settle_for(batch, settlement)
        if isinstance(settlement, Settled) and settlement.synced:
            oldest = min(map(time_of, settlement.synced))
            telemetry.USAGE_LATENCY.observe(max((self._clock.now() - oldest).total_seconds(), 0))
        return settlement

    async def _spare(self, batch: LeasedBatch, refused: Refused) -> Settlement:
        """What the service has does not die of a refusal: the reply to an earlier try may have been lost."""
        try:
            taken = await self._billing.look_up(batch.event_ids)
        except RejectedError as error:
            return refused if error.code == "not_found" else Retry(detail=str(error), service_wide=False)
        except (UnavailableError, IntegrityError) as error:
            return Retry(detail=str(error), service_wide=False)
        return Settled(synced=frozenset(batch.event_ids)) if taken else refused

    async def _lease(self, began: datetime) -> LeasedBatch | None:
        ends = self._clock.now() + self._terms.lease
        batch = await self._stores.batches.lease(began=began, duration=self._terms.lease)
        if batch:
            self._lease_ends[batch.batch_id] = ends
        return batch

    async def _settle_for(self, batch: LeasedBatch, settlement: Settlement) -> Settlement:
        self._owed[batch.batch_id] = batch, settlement
        await self._settle(batch.batch_id)
        return settlement

    async def _settle(self, batch_id: BatchId) -> None:
        """A reply that was heard is kept until the database has it: asking again could bill twice."""
        async with self._settling:
            if batch_id not in self._owed:  # its own request has just done it
                return
            batch, settlement = self._owed[batch_id]
            self.memory = await self._settler.carry_out(batch, settlement, self.memory)
            del self._owed[batch_id]

    async def _seal(self) -> bool:
        return await self._stores.batches.seal(
            limit=self._terms.batch_size,
            max_bytes=self.memory.max_bytes,
            dialect=self._terms.dialect or self.memory.dialect,
            dedupes=self.memory.dedupes,
        )

    def _tell_connectivity(self, settlement: Settlement) -> None:
        match settlement:
            case Settled():
                self._connectivity.succeeded(BILLING)
            case Retry(pause=pause) if pause and pause.reason in _NO_LINK:
                self._connectivity.failed(BILLING, UnavailableError(pause.detail, fix=pause.reason.fix))
            case _:
                return
