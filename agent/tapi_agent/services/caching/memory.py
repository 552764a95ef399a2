"""The memory level: so many entries and no more; the one not asked for the longest goes first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from tapi_agent.services.caching.values import Entry

V = TypeVar("V")


class Memory(Generic[V]):
    """Entries by key, at most ``size``."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, Entry[V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry[V] | None:
        """The entry, which thereby becomes the last to go."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: str, entry: Entry[V]) -> None:
        """Keep the entry, and let another one go for it when there is no room."""
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def forget(self, key: str) -> None:
        """Drop the entry."""
        self._entries.pop(key, None)

    def distrust(self) -> None:
        """Everything has to be asked for again; until then it stands in for a loader that fails, as before."""
        for key, entry in self._entries.items():
            self._entries[key] = replace(entry, due=timedelta.min)
