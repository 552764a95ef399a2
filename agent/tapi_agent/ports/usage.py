"""Where usage is kept: ledger, batches and their fates, all in the database; what is before it is ``ports.spool``.

Every call raises ``UnavailableError`` when its store
gives no answer: nothing was decided, and the caller may repeat the call unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime, timedelta

    from tapi_agent.domain.ambiguity import Span
    from tapi_agent.domain.batch import Dialect, LeasedBatch
    from tapi_agent.domain.bisection import RootTally
    from tapi_agent.domain.ids import BatchId, EventId, StreamId, TenantId
    from tapi_agent.domain.settlement import ServiceMemory, Settled
    from tapi_agent.domain.usage import SpooledEvent, UsageTotal
    from tapi_agent.ports.spool import SpoolAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What became of drained events: ``new`` rows, repeats of older ones, conflicts with them, ``dead`` refused rows.

    Events that were drained before, by a call whose answer was lost, are in none of them. ``totals`` of all that was
    handed over, where they were added up on the way; else none.
    """

    new: int = 0
    duplicates: int = 0
    conflicts: int = 0
    dead: int = 0
    totals: Sequence[UsageTotal] = field(default=(), compare=False)

    def __add__(self, other: Kept) -> Kept:
        """Both together, without totals."""
        return Kept(
            new=self.new + other.new,
            duplicates=self.duplicates + other.duplicates,
            conflicts=self.conflicts + other.conflicts,
            dead=self.dead + other.dead,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a database lacks of a stream: what is ``lost``; or the spool is older than it (``spool_is_older``)."""

    lost: Sequence[UsageTotal] = ()
    spool_is_older: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What was counted, and up to which seq of the stream that was asked for it is in there."""

    drained_seq: int
    totals: Sequence[UsageTotal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Events of this device by the stretch of their way, and the time in the id of the oldest one in no batch.

    ``held`` are in batches that were set aside because too many events were refused alone; they are not in ``sealed``.
    """

    pending: int
    sealed: int
    ambiguous: int
    held: int
    dead: int
    oldest_pending_at: datetime | None


class Ledger(Protocol):
    """Every event that has left the spool, and what they add up to."""

    async def keep(self, events: Sequence[SpooledEvent], *, after: int = 0) -> Kept:
        """Take over events of one stream, in order; repeating the call changes nothing.

        Everything up to seq ``after`` must have been taken over before: else ``SetBackError``, until ``compare`` has
        accounted for what is missing.
        """
        ...

    async def compare(self, account: SpoolAccount) -> Comparison:
        """Whether the database has all that it was handed of a stream; if not, what is missing is lost from now on.

        What is still here may then have been sent in the life that is gone: it becomes suspect, as are the events of a
        spool that is a copy. Repeating the call changes nothing.
        """
        ...

    async def totals(
        self, stream: StreamId | None, *, tenant_id: TenantId | None, since: date | None, until: date | None
    ) -> Totals:
        """What was counted, of one tenant or all, from day ``since`` to day ``until``, both included."""
        ...

    async def pending(self) -> Pending:
        """How much of this device's usage is where."""
        ...


class Batches(Protocol):
    """Batches on their way."""

    async def due(self, *, limit: int, before: datetime) -> bool:
        """Whether there is something to do: ``limit`` pending events, one recorded ``before``, a batch that is due."""
        ...

    async def seal(self, *, limit: int, max_bytes: int, dialect: Dialect, dedupes: bool) -> bool:
        """Seal the oldest pending events of one of the device's streams; false when there are none.

        Those that may have been sent before are sealed apart: ambiguous from the start, unless the service ``dedupes``.
        """
        ...

    async def now(self) -> datetime:
        """The database's clock, by which batches wait and leases end."""
        ...

    async def lease(self, *, began: datetime, duration: timedelta) -> LeasedBatch | None:
        """The oldest batch that is due, ours until ``duration`` has passed; none that was tried since ``began``."""
        ...

    async def hasten(self) -> None:
        """Whatever waits after a failure is due now."""
        ...

    async def reclaim(self, *, dedupes: bool, quiet: timedelta) -> int:
        """Take back what ended senders left: to be sent again if the service ``dedupes``, else ambiguous.

        What became of an ambiguous one is not asked before ``quiet`` has passed: the request may still be under way.
        """
        ...

    async def retry(self, batch: LeasedBatch, *, detail: str, delay: timedelta, nothing_stored: bool = False) -> None:
        """The same bytes again, after ``delay``."""
        ...

    async def refuse(self, batch: LeasedBatch, *, detail: str) -> None:
        """Its one event was refused alone."""
        ...

    async def doubt(self, batch: LeasedBatch, *, detail: str, delay: timedelta, partial: bool) -> None:
        """Ambiguous."""
        ...

    async def replace(self, batch: LeasedBatch, *, parts: int, dialect: Dialect, detail: str) -> None:
        """New batches of the same events in the place of this one."""
        ...

    async def settle(self, batch_id: BatchId, settled: Settled, *, delay: timedelta) -> bool:
        """Write down what the service said; false when that had been done before."""
        ...


class Roots(Protocol):
    """Batches that were split, with all that came of them."""

    async def tally(self, root_id: BatchId) -> RootTally:
        """What became of the events so far."""
        ...

    async def awaiting(self) -> Sequence[BatchId]:
        """Roots with events that were refused alone and not yet decided about."""
        ...

    async def bury(self, root_id: BatchId) -> int:
        """The events that were refused alone become dead letters; returns how many."""
        ...

    async def restore(self, root_id: BatchId, *, delay: timedelta, only_refused: bool) -> None:
        """All that was not delivered, or ``only_refused`` events, go back into one batch."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """An ambiguous batch; ``partial`` when the service said that it stored some of it, without saying which.

    ``copied``: another box has its events as well, and may send them yet. ``fence``: of the try that is in doubt.
    """

    batch_id: BatchId
    root_id: BatchId
    dialect: Dialect
    body: bytes
    event_ids: tuple[EventId, ...]
    partial: bool
    copied: bool
    attempts: int
    fence: int


class Doubts(Protocol):
    """Ambiguous batches."""

    async def due(self) -> Sequence[BatchId]:
        """Those that may be asked about now, those first that wait longest for it."""
        ...

    async def find(self, batch_id: BatchId) -> Doubt | None:
        """One of them; ``None`` when it is not in doubt any more."""
        ...

    async def spans(self, batch_id: BatchId) -> Sequence[Span]:
        """What is known of a batch's span of time, by tenant."""
        ...

    async def send_again(self, batch_id: BatchId, *, detail: str, fence: int | None = None) -> None:
        """The same bytes go out again, unless they have since the try under ``fence``."""
        ...

    async def ask_later(self, batch_id: BatchId, *, delay: timedelta) -> None:
        """Nothing could be found out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRound:
    """One round of sending: how long it took, how many events it delivered, what ended it early (empty: nothing)."""

    took: timedelta
    synced: int
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStatus:
    """All rounds so far, over all agents of the database, and how the last one went; times by the database's clock.

    ``errors`` are rounds that ended early, ``last_error`` is what ended the last one (empty: nothing).
    """

    attempts: int
    errors: int
    events_synced: int
    last_attempt_at: datetime | None
    last_success_at: datetime | None
    last_duration: timedelta | None
    total_duration: timedelta
    last_error: str


class Memory(Protocol):
    """What has been learned of billing services, by their address, and how sending to each has gone."""

    async def recall(self, service: str) -> ServiceMemory:
        """What is known of a service; of a new one, nothing."""
        ...

    async def remember(self, service: str, memory: ServiceMemory) -> None:
        """Keep it in place of what was known before."""
        ...

    async def note(self, service: str, done: SyncRound) -> None:
        """Add a round of sending; nothing for an empty ``service``."""
        ...

    async def status(self, service: str) -> SyncStatus | None:
        """How sending has gone so far; ``None`` before the first round or word."""
        ...
