"""The two-level cache: values in memory over the shared store, each loaded once however many ask for it.

Owns the flights: one load per key at a time, which lives on when those who wait for it give up. An entry is put into
memory only while its flight is the key's current one; forgetting a key ends that, so that nothing loaded before an
invalidation is kept after it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from tapi_agent import telemetry
from tapi_agent.domain.backoff import CHANCE_BYTES, fraction, full_jitter
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.services.caching.memory import Memory
from tapi_agent.services.caching.shared import SharedLevel
from tapi_agent.services.caching.values import Entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tapi_agent.services.caching.invalidation import Invalidator
    from tapi_agent.services.caching.values import CachePolicy, Codec, Surroundings

V = TypeVar("V")

_JITTER: Final = 0.1
_IN_MEMORY: Final = telemetry.CACHE_HITS.labels(tier="memory")
_IN_STORE: Final = telemetry.CACHE_HITS.labels(tier="redis")
_LOADED: Final = telemetry.CACHE_HITS.labels(tier="loader")


class TwoLevelCache(Generic[V]):
    """Values of one ``namespace``; the loader is the truth.

    The store being down is a miss and nothing else. Tiers are counted once for each answer from memory and once for
    each flight, however many wait for it.
    """

    def __init__(
        self,
        *,
        around: Surroundings,
        namespace: str,
        codec: Codec[V],
        policy: CachePolicy,
        invalidator: Invalidator,
    ) -> None:
        self._clock = around.clock
        self._entropy = around.entropy
        self._namespace = namespace
        self._policy = policy
        self._invalidator = invalidator
        self._memory: Memory[V] = Memory(policy.size)
        self._shared = SharedLevel(around=around, namespace=namespace, codec=codec, size=policy.size)
        self._flights: dict[str, asyncio.Task[Entry[V]]] = {}
        self._running: set[asyncio.Task[Entry[V]]] = set()
        invalidator.listen(namespace, self._changed)

    @property
    def entries(self) -> int:
        """How many keys something is remembered of in memory."""
        return len(self._memory)

    async def get(self, key: str, load: Callable[[], Awaitable[V | None]]) -> V | None:
        """The value, from memory, the store or ``load``, in this order; ``None`` is a miss.

        Raises what ``load`` raised, to all who waited for it and until the backoff has passed, unless a value in memory
        is fit to stand in (``CachePolicy.stale_for``). Being cancelled ends the waiting, not the load, which has to
        come to an end by itself.
        """
        now = self._clock.boottime()
        entry = self._memory.get(key)
        if entry is None or now >= entry.due:
            entry = await asyncio.shield(self._flights.get(key) or self._take_off(key, load))
            now = self._clock.boottime()
        else:
            _IN_MEMORY.inc()
        return entry.answer(now)

    async def forget(self, *keys: str) -> None:
        """Nobody is given the present values of ``keys`` any more; call it after the truth has changed.

        Here it holds at once, for the other agents as soon as they hear of it. While the store is down they cannot:
        they go on by the time to live, and by what the store still holds when it is back.
        """
        self._drop(keys)
        with suppress(UnavailableError):
            await self._shared.bury(keys)
            self._drop(keys)  # a flight begun meanwhile may have found the old value in the store
            await self._invalidator.publish(self._namespace, keys)

    async def close(self) -> None:
        """Give up the loads under way."""
        for flight in self._running:
            flight.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _take_off(self, key: str, load: Callable[[], Awaitable[V | None]]) -> asyncio.Task[Entry[V]]:
        flight = asyncio.create_task(self._fetch(key, load), name=f"{self._namespace} load")
        self._flights[key] = flight
        self._running.add(flight)
        flight.add_done_callback(partial(self._land, key))
        return flight

    def _land(self, key: str, flight: asyncio.Task[Entry[V]]) -> None:
        self._running.discard(flight)
        if self._flights.get(key) is flight:
            del self._flights[key]
            if not flight.cancelled() and flight.exception() is None:
                self._memory.put(key, flight.result())

    async def _fetch(self, key: str, load: Callable[[], Awaitable[V | None]]) -> Entry[V]:
        place = await self._shared.look(key)
        if place.value is not None:
            _IN_STORE.inc()
            return self._fresh(place.value)
        _LOADED.inc()
        try:
            value = await _loaded(load)
        except Exception as error:  # noqa: BLE001 - it is raised to whoever asks
            return self._failed(key, error)
        if value is None:
            return self._missed(key)
        if self._flights.get(key) is asyncio.current_task():
            await self._shared.keep(key, value, instead_of=place, ttl=self._shortened(self._policy.shared_ttl))
        return self._fresh(value)

    def _fresh(self, value: V) -> Entry[V]:
        due = self._clock.boottime() + self._shortened(self._policy.memory_ttl)
        stale_for = self._policy.stale_for
        return Entry(value=value, due=due, stale_until=due + stale_for if stale_for else timedelta.min)

    def _missed(self, key: str) -> Entry[V]:
        before = self._memory.get(key)
        failures = before.failures + 1 if before else 1
        return Entry(value=None, due=self._clock.boottime() + self._backoff(failures), failures=failures)

    def _failed(self, key: str, error: Exception) -> Entry[V]:
        before = self._memory.get(key)
        return replace(
            self._missed(key),
            value=before.value if before else None,
            stale_until=before.stale_until if before else timedelta.min,
            error=error,
        )

    def _backoff(self, failures: int) -> timedelta:
        policy, entropy = self._policy, self._entropy(CHANCE_BYTES)
        return full_jitter(failures, first=policy.first_retry, limit=policy.longest_retry, entropy=entropy)

    def _shortened(self, ttl: timedelta) -> timedelta:
        """What was loaded together does not expire together."""
        return ttl * (1 - _JITTER * fraction(self._entropy(CHANCE_BYTES)))

    def _drop(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._flights.pop(key, None)
            self._memory.forget(key)

    def _changed(self, keys: Sequence[str] | None) -> None:
        """Another agent has changed ``keys``, or anything."""
        if keys is None:
            self._flights.clear()
            self._memory.distrust()
        else:
            self._drop(keys)


async def _loaded(load: Callable[[], Awaitable[V | None]]) -> V | None:
    """What ``load`` gives. If something in it was cancelled, those who wait must not believe that they were."""
    try:
        return await load()
    except asyncio.CancelledError as error:
        flight = asyncio.current_task()
        if flight is None or flight.cancelling():
            raise
        raise UnavailableError("the load was given up from within") from error
