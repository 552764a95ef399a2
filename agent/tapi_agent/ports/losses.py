"""Where losses are counted: a place that works when the disk is full and the database is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.loss import Loss


class LossLedger(Protocol):
    """Sums by kind and meter since the device was set up."""

    def note(self, losses: Sequence[Loss]) -> None:
        """Add to the sums, durable on return; raises ``UnavailableError`` when the disk takes not even that."""
        ...

    def report(self) -> Sequence[Loss]:
        """The sums, in order of kind and meter."""
        ...
