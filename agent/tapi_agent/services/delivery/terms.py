"""What the parts of delivery work with: the stores, and the terms of the contract with one billing service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tapi_agent.domain.batch import MAX_EVENTS, Dialect

if TYPE_CHECKING:
    from tapi_agent.ports.spool import Spool
    from tapi_agent.ports.usage import Batches, Doubts, Ledger, Memory, Roots


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageStores:
    """Where usage waits and where it is kept."""

    spool: Spool
    ledger: Ledger
    batches: Batches
    roots: Roots
    doubts: Doubts
    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTerms:
    """How usage is sent to the service at ``service`` (BILLING_SERVICE_URL).

    ``dialect``: ``None`` sends the extension until it is refused. ``interval``: within it an event is delivered.
    ``resend_unknown``: send an ambiguous batch again when nothing can be found out about it, at the risk of billing it
    twice. ``spacing``: between the beginnings of two requests at least. ``quiet``: how long a request that was given up
    may still be under way inside the service. ``lease``: longer than any request. Failures are followed by a wait of up
    to ``first_wait``, doubled each time up to ``longest_wait``.
    """

    service: str
    dialect: Dialect | None = None
    batch_size: int = MAX_EVENTS
    interval: timedelta = timedelta(minutes=5)
    resend_unknown: bool = False
    spacing: timedelta = timedelta(0)
    quiet: timedelta = timedelta(minutes=1)
    lease: timedelta = timedelta(minutes=2)
    first_wait: timedelta = timedelta(seconds=1)
    longest_wait: timedelta = timedelta(minutes=5)
