"""How what happened reaches those who asked to hear of it (plugins, watchers)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tapi_agent.domain.events import LicenseChanged


class Publisher(Protocol):
    """Delivers events to observers; an observer's failure never reaches the caller."""

    async def license_changed(self, change: LicenseChanged) -> None:
        """Tell every observer; returns when each was told or has failed."""
        ...
