"""Takes one batch after the other to the billing service. No transaction is open while a request is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.delivery import Known, WireBatch, read_reply
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.settlement import PauseReason, Retry, ServiceMemory, Settled, Settlement
from tapi_agent.failpoints import Failpoint, reach
from tapi_agent.services.connectivity import BILLING

if TYPE_CHECKING:
    from datetime import datetime

    from tapi_agent.domain.batch import LeasedBatch
    from tapi_agent.ports.billing import BillingService
    from tapi_agent.services.connectivity import Connectivity
    from tapi_agent.services.delivery.settler import Settler
    from tapi_agent.services.delivery.sink import Sink
    from tapi_agent.services.delivery.terms import DeliveryTerms, UsageStores

_NO_LINK = (PauseReason.UNREACHABLE, PauseReason.TLS)


class Sender:
    """One batch at a time; ``memory`` is what is known of the service."""

    def __init__(
        self,
        *,
        stores: UsageStores,
        billing: BillingService,
        connectivity: Connectivity,
        terms: DeliveryTerms,
        sink: Sink,
        settler: Settler,
    ) -> None:
        self._stores = stores
        self._billing = billing
        self._connectivity = connectivity
        self._terms = terms
        self._sink = sink
        self._settler = settler
        self._owed: tuple[LeasedBatch, Settlement] | None = None
        self.memory = ServiceMemory()

    async def begin(self) -> datetime:
        """Begin a round: write down what could not be written down, take back what ended senders left.

        Returns when it began, by the database's clock.
        """
        self.memory = await self._stores.memory.recall(self._terms.service)
        await self._settle_owed()
        await self._stores.batches.reclaim(dedupes=self.memory.dedupes, quiet=self._terms.quiet)
        return await self._stores.batches.now()

    async def next(self, began: datetime) -> LeasedBatch | None:
        """The oldest batch that is due; when none is, a new one of what is pending; ``None`` when nothing is.

        Each batch comes once in the round that ``began``. While sending fails a new one is made first: it may be the
        batch at hand that fails, and not the service.
        """
        if self._sink.failing:
            await self._seal()
        while (batch := await self._stores.batches.lease(began=began, duration=self._terms.lease)) is None:
            if not await self._seal():  # else another agent may have been quicker to take it
                break
        return batch

    async def deliver(self, batch: LeasedBatch) -> Settlement:
        """Send a leased batch and write down what became of it."""
        reach(Failpoint.SEND_BEGUN)
        reply = await self._billing.send_usage(
            WireBatch(batch_id=batch.batch_id, body=batch.body, dialect=batch.dialect)
        )
        reach(Failpoint.SEND_ANSWERED)
        dedupes = self.memory.dedupes and batch.dialect is Dialect.EXTENDED
        settlement = read_reply(
            reply, batch, Known(dedupes=dedupes, may_fall_back=self._terms.dialect is None and not dedupes)
        )
        self._tell_connectivity(settlement)
        self._owed = batch, settlement
        await self._settle_owed()
        return settlement

    async def _settle_owed(self) -> None:
        """A reply that was heard is kept until the database has it: asking again could bill twice."""
        if self._owed:
            batch, settlement = self._owed
            self.memory = await self._settler.carry_out(batch, settlement, self.memory)
            self._owed = None

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
