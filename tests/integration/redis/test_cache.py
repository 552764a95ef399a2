from __future__ import annotations

import asyncio
import traceback
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import redis

from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.domain.errors import ConfigurationError, UnavailableError

MINUTE = timedelta(minutes=1)


async def test_what_is_set_is_got_until_it_is_deleted(cache: RedisCache) -> None:
    assert await cache.get("key") is None
    await cache.set("key", "välue", ttl=MINUTE)
    assert await cache.get("key") == "välue".encode()
    await cache.set("key", b"\xff\x00", ttl=MINUTE)
    assert await cache.get("key") == b"\xff\x00"
    await cache.delete("key", "unknown")
    assert await cache.get("key") is None


async def test_a_value_lives_no_longer_than_its_ttl(cache: RedisCache) -> None:
    await cache.set("key", "value", ttl=timedelta(microseconds=1))
    async with asyncio.timeout(5):
        while await cache.get("key") is not None:
            pass


async def test_a_flush_is_a_miss(cache: RedisCache, valkey_url: str) -> None:
    await cache.set("key", "value", ttl=MINUTE)
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    assert await cache.get("key") is None


async def test_many_values_come_in_the_order_of_their_keys(cache: RedisCache) -> None:
    keys = [f"key{number}".encode() for number in range(250)]
    for key in keys[::2]:
        await cache.set(key.decode(), key, ttl=MINUTE)
    assert await cache.get_many(keys) == [key if index % 2 == 0 else None for index, key in enumerate(keys)]
    assert await cache.get_many([]) == []


@pytest.mark.parametrize("prefix", ["plain:", "gl*b:", "wh?t:", "[ab]:", "back\\slash:"])
async def test_keys_are_found_by_their_literal_prefix(cache: RedisCache, prefix: str) -> None:
    for key in (f"{prefix}1", f"{prefix}2", "glob:", "what:", "a:", "backslash:", f"x{prefix}"):
        await cache.set(key, "", ttl=MINUTE)
    assert sorted(await cache.keys(prefix, within=MINUTE)) == [f"{prefix}{number}".encode() for number in (1, 2)]


async def test_a_search_of_a_full_server_ends_in_time_with_what_it_found(cache: RedisCache) -> None:
    for number in range(3000):
        await cache.set(f"key:{number}", "", ttl=MINUTE)
    found = await cache.keys("key:", within=timedelta(0))
    assert 0 < len(found) < 3000
    assert len(await cache.keys("key:", within=MINUTE)) == 3000


async def test_a_refusal_is_unavailable_and_keeps_the_breaker_closed(cache: RedisCache, valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        client.lpush("list", "1")
    with pytest.raises(UnavailableError, match=r"Redis refuses: .*WRONGTYPE"):
        await cache.get("list")
    await cache.ping()


async def test_more_callers_than_connections_all_get_an_answer(cache: RedisCache) -> None:
    await cache.set("key", "value", ttl=MINUTE)
    assert set(await asyncio.gather(*(cache.get("key") for _ in range(64)))) == {b"value"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://host",
        "redis://:secret@host:port/0",
        "redis://host/0?socket_timeout=secret",
        "redis://host/0?secret=1",
    ],
)
def test_a_malformed_url_is_a_configuration_error_that_does_not_quote_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        RedisCache(url=url)
    assert "secret" not in "".join([*traceback.format_exception(error.value), error.value.fix])


async def test_a_password_opens_a_server_that_wants_one(valkey_url: str) -> None:
    parts = urlsplit(valkey_url)
    url = parts._replace(netloc="").geturl()
    without, wrong, right = (RedisCache(url=url, password=password) for password in (None, "guess", parts.password))
    try:
        for cache in (without, wrong):
            with pytest.raises(UnavailableError, match=r"Authentication required|invalid username-password") as error:
                await cache.ping()
            assert "guess" not in str(error.value)
        await right.ping()
    finally:
        for cache in (without, wrong, right):
            await cache.close()
