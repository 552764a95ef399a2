"""A disk without end, for whoever tests something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.errors import UnavailableError
    from tapi_agent.domain.usage import UsageEvent


class AlwaysRoom:
    """``ports.space.Admission`` that admits everything."""

    is_open = True

    async def admit(self, events: Sequence[UsageEvent]) -> None:
        """Nobody asks while it is open."""
        raise NotImplementedError(events)

    def refused(self, events: Sequence[UsageEvent], error: UnavailableError) -> None:
        """Whoever recorded them gets the error."""
