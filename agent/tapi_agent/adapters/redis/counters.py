"""Redis counters: figures to show, never to decide by, since an eviction sets them back to nothing (ADR 0013)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.adapters.redis.ttl import milliseconds

if TYPE_CHECKING:
    from datetime import timedelta

    from tapi_agent.adapters.redis.link import Link


class Counters:
    """Every method raises ``UnavailableError``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def increment(self, key: str, by: int = 1, *, ttl: timedelta) -> int:
        """Add to the counter, which lives for ``ttl`` from the first time on; what it is then."""
        count, _ = await self._link.ask_all([("INCRBY", key, by), ("PEXPIRE", key, milliseconds(ttl), "NX")])
        return int(count)
