"""What an answer of the two-level cache costs, by the tier that gives it; beside it, in the same run, a bare GET.

Run by hand. Needs the embedded engines; starts a Valkey of its own on a Unix socket.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.engines import EmbeddedValkey
from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.domain.ids import TenantId
from tapi_agent.services.caching import CachePolicy, Codec, Invalidator, Surroundings, TwoLevelCache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUNDS = 15
CALLS = 1000
VALUE = "v" * 512
MINUTE = timedelta(minutes=1)
NOTHING = timedelta(0)


async def load() -> str:
    """The truth, at no cost."""
    return VALUE


def cache(store: RedisCache, *, memory_ttl: timedelta = MINUTE, shared_ttl: timedelta = MINUTE) -> TwoLevelCache[str]:
    """A cache that answers from the tier whose time to live is not nothing."""
    around = Surroundings(store=store, tenant_id=TenantId("acme"), clock=SystemClock(), entropy=os.urandom)
    policy = CachePolicy(size=CALLS, memory_ttl=memory_ttl, shared_ttl=shared_ttl)
    codec = Codec(encode=str.encode, decode=bytes.decode)
    name = f"{memory_ttl} {shared_ttl}"
    return TwoLevelCache(around=around, namespace=name, codec=codec, policy=policy, invalidator=Invalidator(around))


async def timed(ask: Callable[[], Awaitable[object]]) -> float:
    """Microseconds for one of many calls, one after the other."""
    began = time.perf_counter()
    for _ in range(CALLS):
        await ask()
    return (time.perf_counter() - began) / CALLS * 1e6


async def measure(url: str) -> dict[str, list[float]]:
    """Microseconds a call, for each round; the kinds take turns, so that a busy moment hits all."""
    store, bare = RedisCache(url=url, timeout=timedelta(seconds=5)), Redis.from_url(url)
    in_memory, in_redis = cache(store), cache(store, memory_ttl=NOTHING)
    await store.set("key", VALUE, ttl=MINUTE)
    kinds: dict[str, Callable[[], Awaitable[object]]] = {
        "memory hit": lambda: in_memory.get("key", load),
        "redis hit": lambda: in_redis.get("key", load),
        "RedisCache.get": lambda: store.get("key"),
        "bare redis-py GET": lambda: bare.get("key"),
    }
    taken = {name: [await timed(ask)] for name, ask in kinds.items()}  # the first round fills and warms
    for _ in range(ROUNDS):
        for name, ask in kinds.items():
            taken[name].append(await timed(ask))
    await store.close()
    await bare.aclose()
    return {name: times[1:] for name, times in taken.items()}


async def on_valkey(state: Path) -> dict[str, list[float]]:
    """Measure on a Valkey that lives as long as it takes."""
    engine = EmbeddedValkey(state)
    await engine.start()
    try:
        return await measure(engine.url)
    finally:
        await engine.stop()


def main() -> None:
    """Print medians and the worst round."""
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        taken = asyncio.run(on_valkey(Path(folder)))
    load_average = os.getloadavg()[0]
    print(
        f"{ROUNDS} rounds of {CALLS} calls, {len(VALUE)} bytes, load average {load_average:.2f}, {os.cpu_count()} cores"
    )
    for name, times in taken.items():
        print(f"{name:<20} median {statistics.median(times):8.1f} µs   worst {max(times):8.1f} µs")


if __name__ == "__main__":
    main()
