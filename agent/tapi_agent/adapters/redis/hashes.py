"""Redis hashes: fields under one key, which expire together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.adapters.redis.ttl import milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from tapi_agent.adapters.redis.link import Link


class Hashes:
    """Every method raises ``UnavailableError``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def set(self, key: str, fields: Mapping[str, str | bytes], *, ttl: timedelta) -> None:
        """Set these fields, leave the others; the whole hash lives for another ``ttl``."""
        if fields:
            pairs = (part for pair in fields.items() for part in pair)
            await self._link.ask_all([("HSET", key, *pairs), ("PEXPIRE", key, milliseconds(ttl))])

    async def get(self, key: str, field: str) -> bytes | None:
        """The value of one field, or ``None`` for a miss."""
        value: bytes | None = await self._link.ask("HGET", key, field)
        return value

    async def get_all(self, key: str) -> dict[str, bytes]:
        """All fields; none for a miss."""
        found: dict[bytes, bytes] = await self._link.ask("HGETALL", key)
        return {field.decode(errors="replace"): value for field, value in found.items()}

    async def delete(self, key: str, *fields: str) -> int:
        """Forget the fields; how many there were."""
        deleted: int = await self._link.ask("HDEL", key, *fields) if fields else 0
        return deleted
