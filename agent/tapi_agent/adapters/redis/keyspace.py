"""Finding and deleting keys by pattern: page by page with SCAN, on every server that holds a part; KEYS would block."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tapi_agent.adapters.redis.link import Link

_PAGE: Final = 1000
_GLOB: Final = re.compile(r"([\\*?\[\]])")


def prefixed(prefix: str) -> str:
    """The pattern of all keys that begin with ``prefix``, taken literally."""
    return _GLOB.sub(r"\\\1", prefix) + "*"


class Keyspace:
    """Every method raises ``UnavailableError``; a page gets one timeout."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def find(self, pattern: str) -> AsyncGenerator[list[bytes], None]:
        """Pages of keys; one that is there all the while is found at least once."""
        for shard in await self._link.shards():
            cursor = 0
            while True:
                cursor, page = await self._link.ask("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE, shard=shard)
                yield page
                if cursor == 0:
                    break

    async def delete(self, pattern: str) -> int:
        """Delete all keys that match, without holding up the server; how many there were."""
        deleted = 0
        async for page in self.find(pattern):
            deleted += sum(await self._link.ask_all([("UNLINK", key) for key in page]))
        return deleted
