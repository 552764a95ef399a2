from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent import telemetry
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.services.caching import CachePolicy, Codec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from tapi_agent.services.caching import TwoLevelCache
    from tapi_agent.testing.cache import FakeSharedCache
    from tapi_agent.testing.clock import FakeClock

    Cache = TwoLevelCache[str]
    Agents = Callable[..., Any]

SECOND = timedelta(seconds=1)
MEMORY_TTL = 9 * SECOND  # shortened by the tenth that chance may take
SHARED_TTL = 54 * SECOND
POLICY = CachePolicy(size=100, memory_ttl=10 * SECOND, shared_ttl=60 * SECOND)
FORGIVING = replace(POLICY, stale_for=100 * SECOND)
MOMENT = timedelta(milliseconds=1)


class Gate:
    """A load that lasts until it is let through."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()
        self.calls = 0

    async def load(self) -> str | None:
        value = "old"  # read at the beginning, as a database would
        self.calls += 1
        self.begun.set()
        await self.opened.wait()
        return value


async def started(cache: Cache, load: Callable[[], Awaitable[str | None]], *, callers: int = 1) -> list[asyncio.Task]:
    """Tasks that wait for ``load``."""
    tasks = [asyncio.create_task(cache.get("key", load)) for _ in range(callers)]
    await asyncio.sleep(0)
    return tasks


async def down() -> str | None:
    raise UnavailableError("down")


class TestTiers:
    async def test_what_was_loaded_is_answered_from_memory(self, cache: Cache, loader) -> None:
        assert [await cache.get("key", loader) for _ in range(3)] == ["value"] * 3
        assert loader.calls == 1

    async def test_what_one_agent_loaded_another_finds_in_the_store(self, agent: Agents, loader) -> None:
        await agent().cache.get("key", loader)
        assert await agent().cache.get("key", loader) == "value"
        assert loader.calls == 1

    async def test_memory_is_believed_for_its_time_then_the_store_for_its_own(
        self, cache: Cache, loader, clock: FakeClock
    ) -> None:
        await cache.get("key", loader)
        loader.value = "changed"
        clock.advance(MEMORY_TTL)
        assert await cache.get("key", loader) == "value"  # from the store, into memory again
        clock.advance(SHARED_TTL - MEMORY_TTL - MOMENT)
        assert await cache.get("key", loader) == "value"
        clock.advance(MEMORY_TTL)
        assert await cache.get("key", loader) == "changed"

    async def test_time_to_live_goes_on_while_the_machine_sleeps(self, cache: Cache, loader, clock: FakeClock) -> None:
        await cache.get("key", loader)
        loader.value = "changed"
        clock.suspend(SHARED_TTL + MEMORY_TTL)
        assert await cache.get("key", loader) == "changed"

    async def test_keys_namespaces_and_tenants_are_told_apart(self, agent: Agents, loader) -> None:
        await agent().cache.get("key", loader)
        loader.value = "another"
        for other, key in ((agent(), "key2"), (agent(namespace="other"), "key"), (agent(tenant="rival"), "key")):
            assert await other.cache.get(key, loader) == "another"

    async def test_a_store_that_is_down_is_a_miss_and_nothing_else(
        self, cache: Cache, loader, store: FakeSharedCache
    ) -> None:
        store.go_down()
        assert await cache.get("key", loader) == "value"
        assert await cache.get("key", loader) == "value"
        assert loader.calls == 1

    async def test_a_value_that_cannot_be_read_is_loaded_and_replaced(self, agent: Agents, loader) -> None:
        await agent(codec=Codec(encode=lambda _: b"\xff", decode=bytes.decode)).cache.get("key", loader)
        assert [await agent().cache.get("key", loader) for _ in range(2)] == ["value"] * 2
        assert loader.calls == 2

    async def test_every_tier_counts_its_answers(self, agent: Agents, loader, clock: FakeClock) -> None:
        def counts() -> list[float]:
            tiers = ("memory", "redis", "loader")
            return [telemetry.CACHE_HITS.labels(tier=tier)._value.get() for tier in tiers]

        before, cache = counts(), agent().cache
        for _ in range(3):
            await cache.get("key", loader)
        await agent().cache.get("key", loader)
        assert [now - then for now, then in zip(counts(), before, strict=True)] == [2, 1, 1]


class TestBounds:
    async def test_memory_never_holds_more_than_its_size(self, agent: Agents, loader) -> None:
        cache = agent(policy=replace(POLICY, size=3)).cache
        for number in range(10):
            await cache.get(str(number), loader)
            assert cache.entries == min(number + 1, 3)

    async def test_who_was_not_asked_for_the_longest_goes_first(
        self, agent: Agents, loader, store: FakeSharedCache
    ) -> None:
        store.go_down()
        cache = agent(policy=replace(POLICY, size=2)).cache
        for key in ("a", "b", "a", "c", "a"):
            await cache.get(key, loader)
        assert loader.calls == 3
        await cache.get("b", loader)
        assert loader.calls == 4


class TestSingleFlight:
    async def test_many_callers_are_one_load(self, cache: Cache) -> None:
        gate = Gate()
        callers = await started(cache, gate.load, callers=50)
        gate.opened.set()
        assert await asyncio.gather(*callers) == ["old"] * 50
        assert gate.calls == 1

    @pytest.mark.parametrize("canceled", [slice(0, 1), slice(1, 2), slice(0, 2)], ids=["first", "second", "all"])
    async def test_a_caller_that_gives_up_does_not_end_the_load(self, cache: Cache, canceled: slice) -> None:
        gate = Gate()
        callers = await started(cache, gate.load, callers=2)
        for caller in callers[canceled]:
            caller.cancel()
        await asyncio.sleep(0)
        assert [caller.cancelled() for caller in callers] == [caller in callers[canceled] for caller in callers]
        gate.opened.set()
        assert await cache.get("key", down) == "old"
        assert gate.calls == 1
        await asyncio.gather(*callers, return_exceptions=True)

    async def test_a_failure_reaches_all_who_wait(self, cache: Cache, loader) -> None:
        loader.error = KeyError("no such camera")
        callers = [cache.get("key", loader) for _ in range(10)]
        assert await asyncio.gather(*callers, return_exceptions=True) == [loader.error] * 10
        assert loader.calls == 1

    async def test_a_load_canceled_from_within_is_a_failure_and_cancels_nobody(self, cache: Cache) -> None:
        async def load() -> str | None:
            raise asyncio.CancelledError

        answers = await asyncio.gather(*(cache.get("key", load) for _ in range(2)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [UnavailableError] * 2

    async def test_a_value_that_cannot_be_encoded_is_an_error_of_this_call_only(self, agent: Agents, loader) -> None:
        cache = agent(codec=Codec(encode=lambda _: 1 / 0, decode=bytes.decode)).cache
        with pytest.raises(ZeroDivisionError):
            await cache.get("key", loader)
        assert cache.entries == 0

    async def test_closing_gives_up_the_loads(self, cache: Cache) -> None:
        gate = Gate()
        (caller,) = await started(cache, gate.load)
        await gate.begun.wait()
        await cache.close()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert cache.entries == 0


class TestBackoff:
    @pytest.mark.parametrize("error", [None, UnavailableError("down")], ids=["miss", "failure"])
    async def test_it_is_remembered_for_a_backoff_that_grows_to_its_limit(
        self, agent: Agents, loader, clock: FakeClock, error: Exception | None
    ) -> None:
        cache = agent(policy=replace(POLICY, first_retry=SECOND, longest_retry=5 * SECOND)).cache
        loader.value, loader.error = None, error
        waits = []
        for calls in range(1, 6):
            waits.append(timedelta(0))
            while loader.calls < calls:
                assert await asyncio.gather(cache.get("key", loader), return_exceptions=True) == [error]
                clock.advance(SECOND)
                waits[-1] += SECOND
        assert waits == [number * SECOND for number in (1, 1, 2, 4, 5)]

    async def test_a_value_ends_it(self, cache: Cache, loader, clock: FakeClock, store: FakeSharedCache) -> None:
        store.go_down()
        loader.error = UnavailableError("down")
        for _ in range(3):
            await asyncio.gather(cache.get("key", loader), return_exceptions=True)
            clock.advance(10 * SECOND)
        loader.error = None
        assert await cache.get("key", loader) == "value"
        clock.advance(MEMORY_TTL)
        loader.error = UnavailableError("down again")
        for _ in range(2):  # a second apart: it counts from the first failure again
            await asyncio.gather(cache.get("key", loader), return_exceptions=True)
            clock.advance(SECOND)
        assert loader.calls == 6

    async def test_a_remembered_error_does_not_grow_each_time_it_is_raised(self, cache: Cache, loader) -> None:
        loader.error = UnavailableError("down")
        depths = []
        for _ in range(20):
            with pytest.raises(UnavailableError) as raised:
                await cache.get("key", loader)
            depths.append(len(raised.traceback))
        assert depths[-1] <= depths[0]

    async def test_a_miss_is_not_kept_in_the_store(self, agent: Agents, loader) -> None:
        loader.value = None
        assert await agent().cache.get("key", loader) is None
        loader.value = "value"
        assert await agent().cache.get("key", loader) == "value"


class TestStale:
    async def failing(self, cache: Cache, loader, clock: FakeClock, *, after: timedelta) -> str | None:
        """What is answered when the loader fails ``after`` it had a value."""
        await cache.get("key", loader)
        loader.error = UnavailableError("down")
        clock.advance(after)
        return await cache.get("key", loader)

    async def test_an_expired_value_stands_in_for_a_failing_loader_within_the_limit(
        self, agent: Agents, loader, clock: FakeClock
    ) -> None:
        cache = agent(policy=FORGIVING).cache
        assert await self.failing(cache, loader, clock, after=SHARED_TTL) == "value"
        assert await cache.get("key", loader) == "value"
        assert loader.calls == 2  # the failure is remembered like any
        clock.advance(FORGIVING.stale_for)
        with pytest.raises(UnavailableError):
            await cache.get("key", loader)

    async def test_an_error_remembered_across_the_limit_is_raised_from_there_on(
        self, agent: Agents, loader, clock: FakeClock
    ) -> None:
        policy = replace(FORGIVING, first_retry=20 * SECOND)
        cache = agent(policy=policy).cache
        assert await self.failing(cache, loader, clock, after=MEMORY_TTL + policy.stale_for - SECOND) == "value"
        clock.advance(SECOND)
        with pytest.raises(UnavailableError):
            await cache.get("key", loader)
        assert loader.calls == 2

    async def test_without_a_limit_nothing_stands_in(self, cache: Cache, loader, clock: FakeClock) -> None:
        with pytest.raises(UnavailableError):
            await self.failing(cache, loader, clock, after=SHARED_TTL)

    async def test_when_the_loader_says_there_is_none_the_value_is_gone(
        self, agent: Agents, loader, clock: FakeClock
    ) -> None:
        cache = agent(policy=FORGIVING).cache
        await cache.get("key", loader)
        clock.advance(SHARED_TTL)
        loader.value = None
        assert await cache.get("key", loader) is None
        clock.advance(SECOND)
        loader.error = UnavailableError("down")
        with pytest.raises(UnavailableError):
            await cache.get("key", loader)

    async def test_a_recovered_loader_is_asked_after_the_backoff(self, agent: Agents, loader, clock: FakeClock) -> None:
        cache = agent(policy=FORGIVING).cache
        await self.failing(cache, loader, clock, after=SHARED_TTL)
        loader.error, loader.value = None, "new"
        clock.advance(SECOND)
        assert await cache.get("key", loader) == "new"


class TestForgetting:
    async def test_what_is_forgotten_is_loaded_again_by_everyone(self, agent: Agents, loader) -> None:
        one = agent().cache
        for key in ("key", "other"):
            await one.get(key, loader)
        loader.value = "new"
        await one.forget("key", "unknown")
        assert await one.get("key", loader) == "new"
        assert await agent().cache.get("key", loader) == "new"
        assert await one.get("other", loader) == "value"

    async def test_a_load_begun_before_is_given_to_those_who_wait_and_kept_nowhere(self, agent: Agents, loader) -> None:
        one, gate = agent().cache, Gate()
        callers = await started(one, gate.load, callers=2)
        await gate.begun.wait()
        await one.forget("key")
        loader.value = "new"
        assert await one.get("key", loader) == "new"
        gate.opened.set()
        assert await asyncio.gather(*callers) == ["old", "old"]
        assert await one.get("key", down) == "new"
        assert await agent().cache.get("key", down) == "new"

    async def test_a_load_of_another_agent_begun_before_is_not_put_in_the_store(self, agent: Agents, loader) -> None:
        one, other, gate = agent().cache, agent().cache, Gate()
        (caller,) = await started(other, gate.load)
        await gate.begun.wait()
        await one.forget("key")
        gate.opened.set()
        assert await caller == "old"
        loader.value = "new"
        assert await agent().cache.get("key", loader) == "new"

    @pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
    async def test_nor_one_begun_after_an_earlier_forgetting(self, agent: Agents, loader, times: int) -> None:
        one, other, gate = agent().cache, agent().cache, Gate()
        await one.forget("key")
        (caller,) = await started(other, gate.load)
        await gate.begun.wait()
        for _ in range(times):
            await one.forget("key")
        gate.opened.set()
        await caller
        loader.value = "new"
        assert await agent().cache.get("key", loader) == "new"

    async def test_one_begun_after_it_is_kept(self, agent: Agents, loader) -> None:
        one = agent().cache
        await one.forget("key")
        await one.get("key", loader)
        assert await agent().cache.get("key", down) == "value"

    async def test_while_the_store_is_down_memory_forgets_all_the_same(
        self, cache: Cache, loader, store: FakeSharedCache
    ) -> None:
        await cache.get("key", loader)
        store.go_down()
        loader.value = "new"
        await cache.forget("key")
        assert await cache.get("key", loader) == "new"

    async def test_what_was_forgotten_while_the_store_was_down_is_not_found_when_it_is_back(
        self, agent: Agents, loader, store: FakeSharedCache
    ) -> None:
        cache = agent(policy=replace(POLICY, size=2)).cache
        for key in ("a", "b", "c"):
            await cache.get(key, loader)
        store.go_down()
        loader.value = "new"
        await cache.forget("a", "b", "c")
        store.come_back()
        assert [await cache.get(key, loader) for key in ("c", "b")] == ["new", "new"]
        assert [await agent().cache.get(key, down) for key in ("c", "b")] == ["new", "new"]
        assert await cache.get("a", loader) == "value"  # only so many are remembered

    async def test_what_is_forgotten_stands_in_for_nobody(self, agent: Agents, loader) -> None:
        cache = agent(policy=FORGIVING).cache
        await cache.get("key", loader)
        await cache.forget("key")
        with pytest.raises(UnavailableError):
            await cache.get("key", down)


class TestDistrust:
    async def test_when_anything_may_have_changed_everything_is_asked_for_again(
        self, cache: Cache, loader, store: FakeSharedCache
    ) -> None:
        await cache.get("key", loader)
        store.flush()
        loader.value = "new"
        cache._changed(None)
        assert await cache.get("key", loader) == "new"

    @pytest.mark.parametrize("policy", [POLICY, FORGIVING], ids=["never stale", "stale beats absent"])
    async def test_what_was_there_stands_in_only_where_stale_values_may(
        self, agent: Agents, loader, store: FakeSharedCache, policy: CachePolicy
    ) -> None:
        cache = agent(policy=policy).cache
        await cache.get("key", loader)
        store.flush()
        cache._changed(None)
        (answer,) = await asyncio.gather(cache.get("key", down), return_exceptions=True)
        assert (answer == "value") is (policy is FORGIVING)

    async def test_loads_under_way_are_not_kept_in_memory(self, agent: Agents, store: FakeSharedCache, loader) -> None:
        store.go_down()
        cache, gate = agent().cache, Gate()
        (caller,) = await started(cache, gate.load)
        cache._changed(None)
        gate.opened.set()
        assert await caller == "old"
        assert await cache.get("key", loader) == "value"


async def test_what_was_loaded_together_does_not_expire_together(agent: Agents) -> None:
    cache = agent().cache
    chances = iter(number.to_bytes(6, "big") for number in range(0, 2**48, 2**44))
    cache._entropy = lambda _size: next(chances)
    lives = {cache._shortened(100 * SECOND) for _ in range(16)}
    assert len(lives) == 16
    assert all(90 * SECOND < life <= 100 * SECOND for life in lives)
