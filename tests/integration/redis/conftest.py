from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.redis.cache import RedisCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def cache(valkey_url: str) -> AsyncIterator[RedisCache]:
    """A cache with more patience than the agent's: what is tested with it is not how fast a busy machine is."""
    cache = RedisCache(url=valkey_url, timeout=timedelta(seconds=5))
    yield cache
    await cache.close()
