"""Where the service's words on single features outlive the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tapi_agent.domain.override import Override


class OverrideStore(Protocol):
    """Keeps all words of one tenant together. Both calls raise ``UnavailableError``."""

    async def load(self) -> Sequence[Override]:
        """What was kept for this tenant by this device; a damaged store is set aside, as if there were nothing."""
        ...

    async def save(self, words: Collection[Override]) -> None:
        """Return when these, in place of all before, are durable."""
        ...
