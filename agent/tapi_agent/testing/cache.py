"""The store that agents share as a cache, in memory: a stand-in for Redis that tests can take down and flush."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.ports.cache import Announcement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import timedelta

    from tapi_agent.ports.clock import Clock

    Line = asyncio.Queue[Announcement | None]


class FakeSharedCache:
    """Implements ``ports.cache.SharedCache``; values expire by ``clock``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[bytes, timedelta]] = {}
        self._generations: Counter[str] = Counter()
        self._lines: defaultdict[str, set[Line]] = defaultdict(set)
        self._is_down = False

    def go_down(self) -> None:
        """Nobody is answered any more, and all who are subscribed lose their line."""
        self._is_down = True
        for lines in self._lines.values():
            for line in lines:
                line.put_nowait(None)

    def come_back(self) -> None:
        """Answer again, with what was there before."""
        self._is_down = False

    def flush(self) -> None:
        """FLUSHALL: everything is gone, the channels' generations too; lines stay."""
        self._kept.clear()
        self._generations.clear()

    async def get(self, key: str) -> bytes | None:
        """The value, or ``None`` for a miss."""
        self._check()
        value, expires = self._kept.get(key, (None, self._clock.boottime()))
        return value if self._clock.boottime() < expires else None

    async def set_many(self, values: Mapping[str, bytes], *, ttl: timedelta) -> None:
        """Keep each value for ``ttl``."""
        self._check()
        self._kept |= {key: (value, self._clock.boottime() + ttl) for key, value in values.items()}

    async def replace(self, key: str, value: bytes, *, seen: bytes | None, ttl: timedelta) -> bool:
        """Keep ``value`` if what is under ``key`` is still what was ``seen`` there."""
        if await self.get(key) != seen:
            return False
        await self.set_many({key: value}, ttl=ttl)
        return True

    async def publish(self, channel: str, body: bytes) -> None:
        """Send ``body`` to all who are subscribed now, with the channel's next generation."""
        self._check()
        self._generations[channel] += 1
        for line in self._lines[channel]:
            line.put_nowait(Announcement(generation=self._generations[channel], body=body))

    @asynccontextmanager
    async def subscription(self, channel: str) -> AsyncIterator[AsyncIterator[Announcement]]:
        """Messages from the moment of entering on."""
        self._check()
        line: Line = asyncio.Queue()
        self._lines[channel].add(line)
        try:
            yield _messages(line)
        finally:
            self._lines[channel].discard(line)

    def _check(self) -> None:
        if self._is_down:
            raise UnavailableError("switched off by the test")


async def _messages(line: Line) -> AsyncIterator[Announcement]:
    while True:
        message = await line.get()
        if message is None:
            raise UnavailableError("the line was cut by the test")
        yield message
