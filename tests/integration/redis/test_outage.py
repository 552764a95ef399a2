"""Valkey killed, frozen, restarted: no caller waits long, and hardly any waits at all."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Server

MINUTE = timedelta(minutes=1)
ONE_SECOND = timedelta(seconds=1)
ONE_TIMEOUT = 0.1
MARGIN = 0.4  # for a busy machine; redis-py's own timeout would be 5 s


class Monotonic:
    """The real clock, and as much as the test adds to it."""

    ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
async def cache(private_valkey: Server, monotonic: Monotonic) -> AsyncIterator[RedisCache]:
    """As the agent has it."""
    cache = RedisCache(url=private_valkey.address, monotonic=monotonic)
    yield cache
    await cache.close()


@pytest.fixture
async def patient(private_valkey: Server, monotonic: Monotonic) -> AsyncIterator[RedisCache]:
    """With a second for each answer, so that a busy machine is not taken for a frozen server."""
    cache = RedisCache(url=private_valkey.address, monotonic=monotonic, timeout=ONE_SECOND)
    await cache.set("key", "value", ttl=MINUTE)
    yield cache
    await cache.close()


async def refused_after(cache: RedisCache) -> float:
    """Seconds until the cache said that it cannot answer."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(UnavailableError):
        await cache.get("key")
    return loop.time() - start


async def test_a_frozen_server_costs_one_timeout_and_then_nothing(cache: RedisCache, private_valkey: Server) -> None:
    private_valkey.freeze()
    assert await refused_after(cache) < ONE_TIMEOUT + MARGIN
    waits = sorted([await refused_after(cache) for _ in range(1000)])
    assert waits[-10] < ONE_TIMEOUT / 10  # the machine may be busy elsewhere for a few of them


async def test_callers_at_the_moment_of_the_freeze_wait_together(patient: RedisCache, private_valkey: Server) -> None:
    private_valkey.freeze()
    waits = await asyncio.gather(*(refused_after(patient) for _ in range(100)))
    assert max(waits) < 1 + MARGIN


async def test_after_each_window_only_one_caller_pays_for_the_try(
    cache: RedisCache, private_valkey: Server, monotonic: Monotonic
) -> None:
    private_valkey.freeze()
    await refused_after(cache)
    monotonic.ahead += 2
    waits = sorted(await asyncio.gather(*(refused_after(cache) for _ in range(100))))
    assert waits[-2] < ONE_TIMEOUT
    assert waits[-1] < ONE_TIMEOUT + MARGIN


async def test_late_replies_of_a_thawed_server_reach_nobody_else(
    patient: RedisCache, private_valkey: Server, monotonic: Monotonic
) -> None:
    await patient.set("other", "another", ttl=MINUTE)
    private_valkey.freeze()
    await asyncio.gather(*(refused_after(patient) for _ in range(20)))
    private_valkey.thaw()
    monotonic.ahead += 2
    assert await patient.get("other") == b"another"
    answers = await asyncio.gather(*(patient.get(key) for key in ("key", "other") * 20))
    assert answers == [b"value", b"another"] * 20


async def test_a_killed_server_costs_nothing_and_a_restarted_one_is_found(
    patient: RedisCache, private_valkey: Server, monotonic: Monotonic
) -> None:
    private_valkey.kill()
    assert sum([await refused_after(patient) for _ in range(100)]) < ONE_TIMEOUT
    await asyncio.to_thread(private_valkey.start)
    monotonic.ahead += 2
    assert await patient.get("key") is None
    await patient.set("key", "again", ttl=MINUTE)
    assert await patient.get("key") == b"again"


async def test_a_cache_that_never_had_a_server_says_where_it_looked() -> None:
    cache = RedisCache(url="unix:///nonexistent/valkey.sock")
    with pytest.raises(UnavailableError, match=r"/nonexistent/valkey\.sock") as error:
        await cache.ping()
    assert error.value.retry_after == timedelta(seconds=2)
    await cache.close()


async def test_a_canceled_caller_leaves_the_cache_usable(patient: RedisCache, private_valkey: Server) -> None:
    private_valkey.freeze()
    asking = asyncio.ensure_future(patient.get("key"))
    await asyncio.wait([asking], timeout=ONE_TIMEOUT)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    private_valkey.thaw()
    assert await asyncio.gather(*(patient.get("key") for _ in range(20))) == [b"value"] * 20
