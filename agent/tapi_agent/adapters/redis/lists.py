"""Redis lists: values in order under one key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.adapters.redis.ttl import milliseconds

if TYPE_CHECKING:
    from datetime import timedelta

    from tapi_agent.adapters.redis.link import Link


class Lists:
    """Left is the first value, right the last. Every method raises ``UnavailableError``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def push_left(self, key: str, *values: str | bytes, ttl: timedelta) -> int:
        """Put the values before the first, one after the other; the length. The list lives for another ``ttl``."""
        return await self._push("LPUSH", key, values, ttl)

    async def push_right(self, key: str, *values: str | bytes, ttl: timedelta) -> int:
        """Put the values behind the last; the length. The list lives for another ``ttl``."""
        return await self._push("RPUSH", key, values, ttl)

    async def pop_left(self, key: str) -> bytes | None:
        """Take the first value out, ``None`` when there is none."""
        value: bytes | None = await self._link.ask("LPOP", key)
        return value

    async def pop_right(self, key: str) -> bytes | None:
        """Take the last value out, ``None`` when there is none."""
        value: bytes | None = await self._link.ask("RPOP", key)
        return value

    async def range(self, key: str, start: int = 0, stop: int = -1) -> list[bytes]:
        """The values from ``start`` to ``stop``, both included; -1 is the last."""
        values: list[bytes] = await self._link.ask("LRANGE", key, start, stop)
        return values

    async def trim(self, key: str, start: int, stop: int) -> None:
        """Keep only the values from ``start`` to ``stop``, both included; -1 is the last."""
        await self._link.ask("LTRIM", key, start, stop)

    async def _push(self, command: str, key: str, values: tuple[str | bytes, ...], ttl: timedelta) -> int:
        length, _ = await self._link.ask_all([(command, key, *values), ("PEXPIRE", key, milliseconds(ttl))])
        return int(length)
