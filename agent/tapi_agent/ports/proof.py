"""What the database shows to those who prove it, and how a dead letter, a doubt or a delivery is taken up again.

Every call raises ``UnavailableError`` when the database gives no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import date, datetime

    from tapi_agent.domain.ambiguity import Span
    from tapi_agent.domain.batch_proof import KeptBatch
    from tapi_agent.domain.ids import BatchId, EventId, StreamId
    from tapi_agent.domain.proof import Account, Amount, Finding, KeptEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What arrived of an account, what of it was ``forgotten`` by retention, what is ``lost``."""

    account: Account
    arrived: Amount
    forgotten: Amount
    lost: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """usage_totals beside the rows it should be the sum of, over all streams.

    ``incomplete``: some were deleted by retention, so there may be more counted than there are rows.
    """

    subject: str
    counted: Amount
    rows: Amount
    incomplete: bool


class Snapshot(Protocol):
    """The database at one instant, as far as one day of event_time is concerned."""

    async def drained_seq(self, stream: StreamId) -> int:
        """How far a stream has come; 0 when it is not known."""
        ...

    async def arrivals(self) -> Sequence[Arrival]:
        """What arrived."""
        ...

    async def duplicates(self) -> Mapping[Account, Amount]:
        """Repeats, under the account of the event they repeat."""
        ...

    async def unborn(self) -> Sequence[tuple[StreamId, str]]:
        """Streams and texts of dead letters that never became a row: at least those of the day."""
        ...

    async def totals(self) -> Sequence[Counted]:
        """What was counted."""
        ...

    def events(self) -> AsyncIterator[Sequence[KeptEvent]]:
        """All events, a thousand at a time, in no order."""
        ...


class ProofStore(Protocol):
    """The database as evidence."""

    async def days(self) -> Sequence[date]:
        """Days of event_time of which anything is known."""
        ...

    async def structure(self) -> Sequence[Finding]:
        """Places that are taken twice, and chains of batches that do not hold."""
        ...

    def day(self, day: date) -> AbstractAsyncContextManager[Snapshot]:
        """One day, at one instant."""
        ...

    async def batches(self, *, after: BatchId | None, limit: int) -> Sequence[KeptBatch]:
        """The next batches in order of their ids."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What of a tenant's meter and day the service must have, and what it may have besides (``in_doubt``).

    ``gone``: how many of the former retention has deleted, so that they cannot be sent again.
    """

    tenant_id: str
    meter: str
    synced: Amount
    in_doubt: Amount
    gone: int


class Deliveries(Protocol):
    """What is known to be at the billing service."""

    async def of_day(self, day: date) -> Sequence[Delivered]:
        """By tenant and meter."""
        ...

    async def days(self) -> Sequence[date]:
        """Days of which something was delivered or is in doubt."""
        ...

    def events(self, *, day: date, tenant_id: str, meter: str) -> AsyncIterator[Mapping[EventId, str]]:
        """The state of each event of it that is billable, a thousand at a time, in order of id."""
        ...

    async def send_again(self, event_ids: Sequence[EventId]) -> int:
        """Those of them that were taken for delivered wait again; returns how many."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBatch:
    """A batch that waits for a word: ``why`` is what the last try came to, ``ambiguous`` whether it may be stored."""

    batch_id: BatchId
    ambiguous: bool
    events: int
    meters: Mapping[str, int]
    first_event_at: datetime
    last_event_at: datetime
    since: datetime
    attempts: int
    next_attempt_at: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that will not be billed; ``event`` is its text, byte for byte."""

    dead_letter_id: int
    event_id: EventId
    stream: StreamId
    seq: int
    batch_id: BatchId | None
    code: str
    detail: str
    dead_at: datetime
    event: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterQuery:
    """Which letters: behind ``after``, in order of ``dead_letter_id``, at most ``limit``."""

    event_ids: Sequence[EventId] | None = None
    code: str | None = None
    since: datetime | None = None
    after: int = 0
    limit: int = 100


class Letters(Protocol):
    """Dead letters and held batches."""

    async def find(self, query: LetterQuery) -> Sequence[DeadLetter]:
        """Those that the query asks for."""
        ...

    async def revive(self, dead_letter_id: int) -> bool:
        """Its event waits again under the same id and the letter is gone; false when there is no row to wait."""
        ...

    async def span(self, dead_letter_id: int) -> Span | None:
        """What is known of the instant of its event; ``None`` when its row is gone."""
        ...

    async def held(self) -> Sequence[HeldBatch]:
        """Batches that are ambiguous, or set aside because each of their events was refused alone; oldest first."""
        ...

    async def in_doubt(self, batch_id: BatchId) -> Sequence[EventId]:
        """The events of an ambiguous batch; none when it is not ambiguous."""
        ...
