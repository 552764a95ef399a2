"""The disk of the state directory: how much is free, and a reserve that can be given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.errors import UnavailableError
    from tapi_agent.domain.usage import UsageEvent


class Disk(Protocol):
    """Blocking, but only for as long as the file system takes; raises ``OSError``."""

    @property
    def holds_ballast(self) -> bool:
        """Whether the reserve is held."""
        ...

    def free(self) -> int:
        """Bytes that the agent may still write, the reserve not among them."""
        ...

    def hold_ballast(self) -> None:
        """Take the reserve; as much of it as there was room for is given back on an error."""
        ...

    def drop_ballast(self) -> None:
        """Give the reserve up; nothing when it is not held."""
        ...


class Admission(Protocol):
    """Whether there is room for events, asked before each append."""

    @property
    def is_open(self) -> bool:
        """Whether nobody need ask."""
        ...

    async def admit(self, events: Sequence[UsageEvent]) -> None:
        """Return when they may be recorded; raises ``NoSpaceError`` when not, and counts them."""
        ...

    def refused(self, events: Sequence[UsageEvent], error: UnavailableError) -> None:
        """They were admitted, and the spool did not take them."""
        ...
