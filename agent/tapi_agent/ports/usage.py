"""Where usage waits and where it is kept: the spool on disk; ledger, batches and their fates in the database.

The spool works without PostgreSQL; everything else is in it. Every call raises ``UnavailableError`` when its store
gives no answer: nothing was decided, and the caller may repeat the call unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date, datetime, timedelta

    from tapi_agent.domain.ambiguity import Span
    from tapi_agent.domain.batch import Dialect, LeasedBatch
    from tapi_agent.domain.bisection import RootTally
    from tapi_agent.domain.ids import BatchId, EventId, StreamId, TenantId
    from tapi_agent.domain.settlement import ServiceMemory, Settled
    from tapi_agent.domain.usage import SpooledEvent, UsageEvent, UsageTotal


class Spool(Protocol):
    """The durable queue in front of the database."""

    @property
    def stream(self) -> StreamId | None:
        """The stream its events are in; ``None`` while it cannot be opened."""
        ...

    @property
    def drained_seq(self) -> int:
        """Every seq up to here has been discarded."""
        ...

    @property
    def depth(self) -> int:
        """How many events wait."""
        ...

    @property
    def newest(self) -> datetime | None:
        """The latest trusted time in an id that ever came by; ``None`` before the first."""
        ...

    @property
    def dedupe_floor(self) -> datetime:
        """The oldest instant of which events are kept; it only rises."""
        ...

    async def raise_floor(self, floor: datetime) -> int:
        """Keep no event from before ``floor`` from now on, durably; a floor that is higher already stays.

        Returns the seq after which no event was accepted under an older floor.
        """
        ...

    async def append(self, events: Sequence[UsageEvent]) -> Sequence[int]:
        """Keep the events; returns their seqs once they are on disk. All or none, but for a call that is cancelled."""
        ...

    def on_kept(self, listener: Callable[[Sequence[UsageEvent]], None]) -> None:
        """Tell ``listener`` of all events from now on, in the event loop, as soon as they are on disk.

        It hears of them before their caller does, and also when that has gone away. It may neither wait nor raise.
        """
        ...

    async def head(self, limit: int) -> Sequence[SpooledEvent]:
        """The oldest events, in order of seq."""
        ...

    async def discard(self, through: int, *, stream: StreamId) -> None:
        """Forget every event up to and including seq ``through``: the database has them.

        Nothing is forgotten when ``stream`` has been replaced meanwhile: its seqs mean other events now.
        """
        ...

    async def totals(self, *, after: int) -> Sequence[UsageTotal]:
        """What waits behind seq ``after``, by tenant, meter and day."""
        ...

    async def filled(self) -> None:
        """Return as soon as something waits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What became of drained events: ``new`` rows, repeats of older ones, conflicts with them, ``dead`` refused rows.

    Events that were drained before, by a call whose answer was lost, are in none of them.
    """

    new: int = 0
    duplicates: int = 0
    conflicts: int = 0
    dead: int = 0

    def __add__(self, other: Kept) -> Kept:
        """Both together."""
        return Kept(
            new=self.new + other.new,
            duplicates=self.duplicates + other.duplicates,
            conflicts=self.conflicts + other.conflicts,
            dead=self.dead + other.dead,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What was counted, and up to which seq of the stream that was asked for it is in there."""

    drained_seq: int
    totals: Sequence[UsageTotal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Events of this device by the stretch of their way, and the time in the id of the oldest one in no batch."""

    pending: int
    sealed: int
    ambiguous: int
    dead: int
    oldest_pending_at: datetime | None


class Ledger(Protocol):
    """Every event that has left the spool, and what they add up to."""

    async def keep(self, events: Sequence[SpooledEvent]) -> Kept:
        """Take over events of one stream, in order; repeating the call changes nothing."""
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

    async def seal(self, *, limit: int, max_bytes: int, dialect: Dialect) -> bool:
        """Seal the oldest pending events of one of the device's streams; false when there are none."""
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
    """An ambiguous batch; ``partial`` when the service said that it stored some of it, without saying which."""

    batch_id: BatchId
    root_id: BatchId
    dialect: Dialect
    body: bytes
    event_ids: tuple[EventId, ...]
    partial: bool
    attempts: int


class Doubts(Protocol):
    """Ambiguous batches."""

    async def due(self) -> Sequence[Doubt]:
        """Those that may be asked about now, oldest first."""
        ...

    async def spans(self, batch_id: BatchId) -> Sequence[Span]:
        """What is known of a batch's span of time, by tenant."""
        ...

    async def send_again(self, batch_id: BatchId, *, detail: str) -> None:
        """The same bytes go out again."""
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
