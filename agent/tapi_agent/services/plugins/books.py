"""How far collecting has come, as ``Collecting`` reads and writes it: in memory, and on disk before it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tapi_agent.domain.collection import Progress
    from tapi_agent.ports.collected import CollectedStore

Key = tuple[str, str]
"""Plugin and meter."""


class Books:
    """The progress of every meter. Every call raises ``UnavailableError`` when the disk gives no answer."""

    def __init__(self, store: CollectedStore) -> None:
        self._store = store
        self._progress: dict[Key, Progress] | None = None

    async def open(self) -> None:
        """Read what an earlier run has written; once."""
        if self._progress is None:
            self._progress = dict(await self._store.load())

    def read(self, key: Key) -> Progress | None:
        """What is known; ``None`` of a meter that was never seen."""
        return self._progress.get(key) if self._progress else None

    async def write(self, key: Key, progress: Progress) -> None:
        """Return when it is durable."""
        await self._save({**(self._progress or {}), key: progress})

    async def forget(self, key: Key) -> None:
        """Return when nothing is known any more."""
        if self.read(key):
            await self._save({known: one for known, one in (self._progress or {}).items() if known != key})

    async def _save(self, progress: dict[Key, Progress]) -> None:
        # Set first: several plugins are asked at once, and each write holds what all of them have come to.
        self._progress = progress
        await self._store.save(progress)
