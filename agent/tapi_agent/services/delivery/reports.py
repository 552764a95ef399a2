"""What delivery tells of itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from tapi_agent.domain.settlement import Ambiguous, Refused, Settled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tapi_agent.domain.batch import LeasedBatch
    from tapi_agent.domain.settlement import Pause, Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What one round of sending came to: batches sent, and events by what became of them.

    ``trouble`` is why it ended early, empty when it did not; ``paused`` why sending rests.
    """

    batches: int = 0
    synced: int = 0
    dead: int = 0
    ambiguous: int = 0
    trouble: str = ""
    paused: Pause | None = None

    def plus(self, batch: LeasedBatch, settlement: Settlement) -> SyncReport:
        """With one more batch."""
        settled = settlement if isinstance(settlement, Settled) else Settled()
        too_large = isinstance(settlement, Refused) and settlement.at_once
        doubtful = len(batch.event_ids) if isinstance(settlement, Ambiguous) else 0
        return replace(
            self,
            batches=self.batches + 1,
            synced=self.synced + len(settled.synced),
            dead=self.dead + len(settled.dead) + too_large,
            ambiguous=self.ambiguous + doubtful,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many events are on which stretch of their way; ``None`` for what PostgreSQL alone knows while it is down.

    ``pending`` in no batch, ``sealed`` in one, ``ambiguous`` in one that nobody can account for yet, ``held`` in one
    that was set aside, ``dead`` dead letters; ``oldest_pending_at`` the time in the oldest id that is in no batch.
    """

    spooled: int
    pending: int | None = None
    sealed: int | None = None
    ambiguous: int | None = None
    held: int | None = None
    dead: int | None = None
    oldest_pending_at: datetime | None = None
    paused: Pause | None = None

    @property
    def stretches(self) -> Mapping[str, int | None]:
        """How many events are on each stretch, by name."""
        told = asdict(self)
        return {name: told[name] for name in ("spooled", "pending", "sealed", "ambiguous", "held", "dead")}
