"""Where usage waits: the durable queue on disk, in front of the database and without it.

Every call raises ``UnavailableError`` when the disk gives no answer: nothing was decided, and the caller may repeat the
call unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from tapi_agent.domain.ids import StreamId
    from tapi_agent.domain.usage import SpooledEvent, UsageEvent, UsageTotal


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolAccount:
    """What a stream has ever ``accepted``, and what of it was ``drained``, up to ``drained_seq``, at one instant.

    A file that is a copy has ``copied_from``, the stream of the other one, in which its events up to ``suspect_seq``
    are as well.
    """

    stream: StreamId
    drained_seq: int
    last_seq: int
    accepted: Sequence[UsageTotal]
    drained: Sequence[UsageTotal]
    copied_from: StreamId | None = None
    suspect_seq: int = 0


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

    async def head(self, limit: int, *, after: int = 0) -> Sequence[SpooledEvent]:
        """The oldest events behind seq ``after``, in order of seq."""
        ...

    async def discard(self, through: int, *, stream: StreamId, totals: Sequence[UsageTotal] = ()) -> None:
        """Forget every event up to and including seq ``through``: the database has them.

        Nothing is forgotten when ``stream`` has been replaced meanwhile: its seqs mean other events now. ``totals`` of
        these events save reading them once more; totals of more or fewer events are of others, and not used.
        """
        ...

    async def totals(self, *, after: int) -> Sequence[UsageTotal]:
        """What waits behind seq ``after``, by tenant, meter and day."""
        ...

    async def account(self) -> SpoolAccount:
        """What was accepted in the stream, and what of it the database has been handed, at one instant."""
        ...

    async def renew(self, stream: StreamId) -> None:
        """Begin a new stream in the place of ``stream``, whose seqs mean other events in the database."""
        ...

    async def filled(self) -> None:
        """Return as soon as something waits."""
        ...
