"""The store that agents share as a cache: how its keys are named, what can be asked of it. Nothing is only in there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta


def cache_key(*parts: str) -> str:
    """``tapi:`` and the parts, joined by colons. Ids are opaque text: quoted, none can reach into another's keys."""
    return ":".join(("tapi", *(quote(part, safe="") for part in parts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A message of a channel. ``generation`` counts the channel's messages: any but the next one means a loss."""

    generation: int
    body: bytes


class SharedCache(Protocol):
    """Bytes under keys, each with a time to live. Any of it may vanish at any moment, which is a miss.

    Every method raises ``UnavailableError``, and does so soon: a cache that has to be waited for is none.
    """

    async def get(self, key: str) -> bytes | None:
        """The value, or ``None`` for a miss."""
        ...

    async def set_many(self, values: Mapping[str, bytes], *, ttl: timedelta) -> None:
        """Keep each value for ``ttl``, at most."""
        ...

    async def replace(self, key: str, value: bytes, *, seen: bytes | None, ttl: timedelta) -> bool:
        """Keep ``value`` if what is under ``key`` is still what was ``seen`` there; ``False`` when it is not."""
        ...

    async def publish(self, channel: str, body: bytes) -> None:
        """Send ``body`` to all who are subscribed now, with the channel's next generation."""
        ...

    def subscription(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[Announcement]]:
        """Messages from the moment of entering on. ``UnavailableError`` on entering and whenever the line is lost.

        A line that was lost is never mended unseen, because messages would be missing: enter a new one.
        """
        ...
