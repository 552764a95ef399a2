"""How far the usage that plugins collect has been asked for, kept across restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tapi_agent.domain.collection import Progress


class CollectedStore(Protocol):
    """The progress of every meter, by plugin and meter."""

    async def load(self) -> Mapping[tuple[str, str], Progress]:
        """What was saved last; nothing when it is damaged, which is then set aside. Raises ``UnavailableError``."""
        ...

    async def save(self, progress: Mapping[tuple[str, str], Progress]) -> None:
        """Return when it is durable. Raises ``UnavailableError``."""
        ...
