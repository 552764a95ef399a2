"""Channels on a real Valkey: a line that is dead is noticed, and one that is only silent is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis

from tapi_agent.adapters.redis import channels
from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.ports.cache import Announcement

if TYPE_CHECKING:
    from tests.conftest import Server


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deaf after a second instead of three."""
    monkeypatch.setattr(channels, "_PING_EVERY", 0.05)
    monkeypatch.setattr(channels, "_DEAF_AFTER", 1.0)


async def test_a_silent_line_is_kept(cache: RedisCache) -> None:
    async with cache.subscription("channel") as line:
        hearing = asyncio.ensure_future(anext(line))
        assert await asyncio.wait([hearing], timeout=1.5) == (set(), {hearing})
        await cache.publish("channel", b"at last")
        assert await hearing == Announcement(generation=1, body=b"at last")


async def test_a_line_to_a_hung_server_is_given_up(private_valkey: Server) -> None:
    cache = RedisCache(url=private_valkey.address)
    async with cache.subscription("channel") as line:
        private_valkey.freeze()
        with pytest.raises(UnavailableError, match="no answer"):
            await anext(line)
    await cache.close()


async def test_nobody_waits_long_to_subscribe_to_a_hung_server(
    private_valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_SUBSCRIBE_WITHIN", 0.2)
    private_valkey.freeze()
    cache = RedisCache(url=private_valkey.address)
    with pytest.raises(UnavailableError, match="no answer"):
        await cache.subscription("channel").__aenter__()
    await cache.close()


async def test_what_others_have_published_has_no_number(cache: RedisCache, valkey_url: str) -> None:
    async with cache.subscription("channel") as line:
        with redis.Redis.from_url(valkey_url) as client:
            client.publish("channel", "a stranger's word")
        assert (await anext(line)).generation == 0


async def test_leaving_a_subscription_closes_its_connection(cache: RedisCache, valkey_url: str) -> None:
    async with cache.subscription("channel"):
        pass
    with redis.Redis.from_url(valkey_url) as client:
        async with asyncio.timeout(5):
            while dict(client.pubsub_numsub("channel")) != {b"channel": 0}:
                await asyncio.sleep(0.01)
