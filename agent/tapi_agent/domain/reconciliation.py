"""What the billing service has beside what it must have, by tenant, meter and UTC day."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from tapi_agent.domain.ids import EventId
    from tapi_agent.domain.proof import Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """What looking up our events by id has shown.

    ``missing`` of those delivered are not at the service, ``resent`` of them go out again; ``extra`` are there although
    they died here; ``nameless`` are there under ids that are not in this database (negative: ones that retention has
    deleted here are not there). At most a thousand ids are named of each kind.
    """

    missing: int
    missing_ids: Sequence[EventId]
    extra: int
    extra_ids: Sequence[EventId]
    nameless: int
    resent: int = 0

    @property
    def agrees(self) -> bool:
        """Whether nothing is missing and nothing is there too much."""
        return not (self.missing or self.extra or self.nameless)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One tenant's meter: what we delivered, what may have arrived besides, what the service says it has.

    A service of today gives sums of some meters and counts no events: ``None`` is what it does not tell. ``whole`` says
    that it cuts sums to integers.
    """

    tenant_id: str
    meter: str
    ours: Amount
    in_doubt: Amount
    their_events: int | None
    their_quantity: Decimal | None
    whole: bool = False
    identified: Identified | None = field(default=None)

    @property
    def difference(self) -> Decimal | None:
        """Theirs without ours; ``None`` when they do not tell."""
        if self.their_quantity is None:
            return None
        ours = self.ours.quantity
        return self.their_quantity - (int(ours) if self.whole and self.their_quantity == int(ours) else ours)

    @property
    def equal(self) -> bool:
        """Whether count and sum are the same, or nothing is told that could differ."""
        return self.their_events in (None, self.ours.events) and self.difference in (None, 0)

    @property
    def agrees(self) -> bool:
        """Whether nothing is missing and nothing is there too much: by ids if they were looked up, else by sums.

        What is in doubt may be there or not.
        """
        if self.identified:
            return self.identified.agrees
        return self.equal or self._within_doubt()

    def _within_doubt(self) -> bool:
        more = self.difference
        return more is not None and self.in_doubt.events > 0 and 0 <= more <= self.in_doubt.quantity
