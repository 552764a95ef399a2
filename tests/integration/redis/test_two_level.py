"""Two-level caches on a real Valkey: accidents under load cost nobody an error, and agents hear of each other."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
import redis

from tapi_agent import telemetry
from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.ids import TenantId
from tapi_agent.services.caching import CachePolicy, Codec, Invalidator, Surroundings, TwoLevelCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.conftest import Server

    Eventually = Callable[..., Awaitable[None]]

CALLERS = 32
KEYS = [f"key {number}" for number in range(200)]
SIZE = 100
TEXT = Codec(encode=str.encode, decode=bytes.decode)
MOMENT = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)
TIMEOUT = 0.1
WINDOW = 2.0


@dataclass(frozen=True, slots=True)
class Agent:
    cache: TwoLevelCache[str]
    redis: RedisCache


@asynccontextmanager
async def running_agent(url: str, *, memory_ttl: timedelta = MINUTE) -> AsyncIterator[Agent]:
    """An agent's cache, as the agent has it, that listens to the others."""
    store = RedisCache(url=url)
    around = Surroundings(store=store, tenant_id=TenantId("acme"), clock=SystemClock(), entropy=os.urandom)
    invalidator = Invalidator(around)
    policy = CachePolicy(size=SIZE, memory_ttl=memory_ttl, shared_ttl=MINUTE)
    cache = TwoLevelCache(around=around, namespace="names", codec=TEXT, policy=policy, invalidator=invalidator)
    listening = asyncio.create_task(invalidator.run())
    try:
        yield Agent(cache, store)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await cache.close()
        await store.close()


@dataclass(slots=True)
class Call:
    began: float
    took: float


@dataclass(slots=True)
class Load:
    """Callers who ask as fast as they can; the memory level forgets at once, so that each has to ask the store."""

    cache: TwoLevelCache[str]
    calls: list[Call] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)

    async def call(self, first: int) -> None:
        loop = asyncio.get_running_loop()
        for number in count(first):
            key = KEYS[number * 7 % len(KEYS)]
            began = loop.time()
            assert await self.cache.get(key, partial(self.load, key)) == f"value of {key}"
            self.calls.append(Call(began, loop.time() - began))
            assert self.cache.entries <= SIZE
            await asyncio.sleep(0)

    async def load(self, key: str) -> str:
        return f"value of {key}"

    async def watch_the_loop(self) -> None:
        """How much later than it should the loop itself comes round."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(0.01)
            self.lags.append(loop.time() - began - 0.01)


@asynccontextmanager
async def under_load(cache: TwoLevelCache[str]) -> AsyncIterator[Load]:
    load = Load(cache)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(load.call(first)) for first in range(CALLERS)]
        tasks.append(group.create_task(load.watch_the_loop()))
        yield load
        for task in tasks:
            task.cancel()


def from_store() -> float:
    return telemetry.CACHE_HITS.labels(tier="redis")._value.get()


async def is_used(load: Load) -> bool:
    """Whether a thousand more calls bring answers from the store."""
    calls, hits = len(load.calls), from_store()
    while len(load.calls) < calls + 1000:
        await asyncio.sleep(TIMEOUT)
    return from_store() > hits


def margin(load: Load) -> float:
    """Three turns of the loop: one until the load begins, one until its end is noticed, one until the caller wakes."""
    return 3 * max(load.lags)


@pytest.mark.parametrize(
    ("accident", "recovery"),
    [
        pytest.param("freeze", "thaw", id="hung"),
        pytest.param("kill", "start", id="killed and restarted"),
        pytest.param("flush", None, id="flushed"),
    ],
)
async def test_an_accident_under_load_fails_nobody_and_costs_one_timeout_once(
    private_valkey: Server, eventually: Eventually, accident: str, recovery: str | None
) -> None:
    loop = asyncio.get_running_loop()
    async with running_agent(private_valkey.address, memory_ttl=MOMENT) as agent, under_load(agent.cache) as load:
        await eventually(lambda: is_used(load), within=10)
        at = loop.time()
        await asyncio.to_thread(happens, private_valkey, accident)
        happened = loop.time()
        while loop.time() < at + WINDOW:
            await asyncio.sleep(TIMEOUT)
        if recovery:
            await asyncio.to_thread(getattr(private_valkey, recovery))
        await eventually(lambda: is_used(load), within=10)
    assert max(call.took for call in load.calls) <= TIMEOUT + margin(load)
    once = happened + TIMEOUT + max(load.lags)
    later = [call.took for call in load.calls if once < call.began < at + WINDOW - TIMEOUT]
    assert len(later) > CALLERS
    assert max(later) < TIMEOUT / 2 + margin(load)


def happens(valkey: Server, accident: str) -> None:
    if accident == "flush":
        with redis.Redis.from_url(valkey.address) as client:
            client.flushall()
    else:
        getattr(valkey, accident)()


@asynccontextmanager
async def two_agents(url: str) -> AsyncIterator[tuple[Agent, Agent]]:
    async with running_agent(url) as one, running_agent(url) as other:
        yield one, other


class Truth:
    """What is loaded."""

    value = "old"

    async def load(self) -> str:
        return self.value


async def sees(agent: Agent, truth: Truth, value: str) -> bool:
    return await agent.cache.get("key", truth.load) == value


async def listens(agents: tuple[Agent, Agent], url: str) -> bool:
    """Whether all of them are subscribed and can publish."""
    with redis.Redis.from_url(url) as client:
        subscribed = dict(client.pubsub_numsub("tapi:acme:invalidate"))
    if subscribed != {b"tapi:acme:invalidate": len(agents)}:
        return False
    for agent in agents:
        await agent.redis.ping()
    return True


async def test_forgetting_is_seen_by_the_other_agent_within_a_second(valkey_url: str, eventually: Eventually) -> None:
    truth = Truth()
    async with two_agents(valkey_url) as agents:
        one, other = agents
        await eventually(lambda: listens(agents, valkey_url), within=10)
        for agent in agents:
            assert await sees(agent, truth, "old")
        truth.value = "new"
        assert await sees(other, truth, "old")
        await one.cache.forget("key")
        await eventually(lambda: sees(other, truth, "new"), within=1)
        assert await sees(one, truth, "new")


@pytest.mark.parametrize(("accident", "recovery"), [("kill", "start"), ("freeze", "thaw"), ("flush", None)])
async def test_and_so_it_is_after_an_accident(
    private_valkey: Server, eventually: Eventually, accident: str, recovery: str | None
) -> None:
    truth = Truth()
    async with two_agents(private_valkey.address) as agents:
        one, other = agents
        await eventually(lambda: listens(agents, private_valkey.address), within=10)
        await asyncio.to_thread(happens, private_valkey, accident)
        for agent in agents:
            assert await sees(agent, truth, "old")
        if recovery:
            await asyncio.to_thread(getattr(private_valkey, recovery))
        await eventually(lambda: can_be_told(agents, private_valkey.address), within=10)
        assert await sees(other, truth, "old")
        truth.value = "new"
        await one.cache.forget("key")
        await eventually(lambda: sees(other, truth, "new"), within=1)


async def can_be_told(agents: tuple[Agent, Agent], url: str) -> bool:
    try:
        return await listens(agents, url)
    except UnavailableError:  # the breaker is still open
        return False


async def test_what_was_forgotten_while_nobody_could_be_told_is_seen_as_soon_as_redis_is_back(
    private_valkey: Server, eventually: Eventually
) -> None:
    truth = Truth()
    async with two_agents(private_valkey.address) as agents:
        one, other = agents
        await eventually(lambda: listens(agents, private_valkey.address), within=10)
        assert await sees(other, truth, "old")
        await asyncio.to_thread(private_valkey.kill)
        truth.value = "new"
        await one.cache.forget("key")
        assert await sees(one, truth, "new")
        assert await sees(other, truth, "old")
        await asyncio.to_thread(private_valkey.start)
        await eventually(lambda: sees(other, truth, "new"), within=2)
