"""Finds out what became of ambiguous batches, by asking the service; nothing is sent again on a guess.

A service that dedupes may simply be sent the same bytes. Any other is asked for the batch by its id, in case it is one
of which nobody knows that yet, and then for its sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from tapi_agent.domain.ambiguity import Storage, weigh
from tapi_agent.domain.answers import Outcome, Result
from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.delivery import WireBatch, settled_by
from tapi_agent.domain.errors import IntegrityError, RejectedError, UnavailableError
from tapi_agent.domain.settlement import Settled

if TYPE_CHECKING:
    from tapi_agent.domain.settlement import ServiceMemory
    from tapi_agent.ports.billing import BillingService
    from tapi_agent.ports.usage import Doubt
    from tapi_agent.services.delivery.settler import Settler
    from tapi_agent.services.delivery.sink import Sink
    from tapi_agent.services.delivery.terms import DeliveryTerms, UsageStores

log = structlog.get_logger(__name__)


class Inquiry:
    """Resolves doubts about batches, or leaves them held."""

    def __init__(
        self, *, stores: UsageStores, billing: BillingService, terms: DeliveryTerms, sink: Sink, settler: Settler
    ) -> None:
        self._stores = stores
        self._billing = billing
        self._terms = terms
        self._sink = sink
        self._settler = settler

    async def resolve_all(self, memory: ServiceMemory) -> None:
        """Take up every doubt that is due, until the service gives no answer: one that hangs costs one timeout.

        One doubt is in memory at a time: a long outage of a service that does not dedupe leaves many.
        """
        for batch_id in await self._stores.doubts.due():
            doubt = await self._stores.doubts.find(batch_id)
            if doubt and not await self._resolve(doubt, memory):
                return

    async def _resolve(self, doubt: Doubt, memory: ServiceMemory) -> bool:
        """Do what can be done about it; false when the service gives no answer."""
        if memory.dedupes and doubt.dialect is Dialect.EXTENDED:
            await self._send_again(doubt, "the service dedupes")
            return True
        try:
            found = await self._ask(doubt)
        except UnavailableError:
            await self._ask_later(doubt)
            return False
        except (RejectedError, IntegrityError) as error:
            log.info("usage.inquiry_failed", batch=str(doubt.batch_id), error=str(error))
            found = Storage.UNDECIDED
        await self._act(doubt, found)
        return True

    async def _ask(self, doubt: Doubt) -> Settled | Storage | None:
        """What the service says: results by id if it knows the batch, else what its sums tell.

        ``None`` while its sums may change: what another agent sends meanwhile must not be taken for this batch. It is
        leased before it is sent, so it shows in what is known before the question or after it.
        """
        if doubt.dialect is Dialect.EXTENDED and (record := await self._billing.find_batch(doubt.batch_id)):
            results = {event_id: Result(outcome=Outcome(word)) for event_id, word in record.results.items()}
            return settled_by(results, doubt.event_ids)
        spans = await self._stores.doubts.spans(doubt.batch_id)
        if any(span.under_way for span in spans):
            return None
        sums = [
            (span, await self._billing.usage_sums(span.tenant_id, start=span.first, end=span.last)) for span in spans
        ]
        unchanged = spans == await self._stores.doubts.spans(doubt.batch_id)
        return weigh(sums, partial=doubt.partial) if unchanged else None

    async def _act(self, doubt: Doubt, found: Settled | Storage | None) -> None:
        match found:
            case Settled():
                await self._settle(doubt, found)
            case Storage.STORED:
                await self._settle(doubt, Settled(synced=frozenset(doubt.event_ids)))
            case Storage.NOT_STORED if not doubt.copied:
                await self._send_again(doubt, "the sums of the service are without it")
            case Storage.UNDECIDED if self._terms.resend_unknown and not (doubt.partial or doubt.copied):
                await self._send_again(doubt, "nothing could be found out; BILLING_CLASSIC_UNKNOWN=retry")
            case Storage.NOT_STORED | Storage.UNDECIDED | None:
                await self._ask_later(doubt)

    async def _settle(self, doubt: Doubt, settled: Settled) -> None:
        log.info("usage.doubt_settled", batch=str(doubt.batch_id), synced=len(settled.synced))
        await self._stores.batches.settle(doubt.batch_id, settled, delay=self._sink.wait(doubt.attempts))
        if settled.synced:
            self._settler.announce(WireBatch(batch_id=doubt.batch_id, body=doubt.body, dialect=doubt.dialect))
        if doubt.root_id != doubt.batch_id:
            await self._settler.judge(doubt.root_id)

    async def _ask_later(self, doubt: Doubt) -> None:
        await self._stores.doubts.ask_later(doubt.batch_id, delay=self._sink.wait(doubt.attempts))

    async def _send_again(self, doubt: Doubt, reason: str) -> None:
        log.info("usage.doubt_resent", batch=str(doubt.batch_id), reason=reason)
        await self._stores.doubts.send_again(doubt.batch_id, detail=reason, fence=doubt.fence)
