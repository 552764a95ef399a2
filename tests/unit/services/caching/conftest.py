from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.backoff import CHANCE_BYTES
from tapi_agent.domain.ids import TenantId
from tapi_agent.services.caching import CachePolicy, Codec, Invalidator, Surroundings, TwoLevelCache
from tapi_agent.testing.cache import FakeSharedCache
from tapi_agent.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = Codec(encode=str.encode, decode=bytes.decode)
POLICY = CachePolicy(size=100, memory_ttl=timedelta(seconds=10), shared_ttl=timedelta(seconds=60))

_numbers = count(1)


def entropy(size: int) -> bytes:
    """Waits are as long, and times to live as short, as they can be; names differ."""
    return b"\xff" * size if size == CHANCE_BYTES else next(_numbers).to_bytes(size, "big")


@dataclass
class Loader:
    """The truth, which can be changed and can fail; remembers how often it was asked."""

    value: str | None = "value"
    error: Exception | None = None
    calls: int = field(default=0)

    async def __call__(self) -> str | None:
        self.calls += 1
        if self.error:
            raise self.error
        return self.value


@dataclass(frozen=True)
class Agent:
    cache: TwoLevelCache[str]
    invalidator: Invalidator


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> FakeSharedCache:
    return FakeSharedCache(clock)


@pytest.fixture
def agent(clock: FakeClock, store: FakeSharedCache) -> Callable[..., Agent]:
    """Makes one of several agents on one store."""

    def agent(
        *, policy: CachePolicy = POLICY, namespace: str = "names", tenant: str = "acme", codec: Codec[str] = TEXT
    ) -> Agent:
        around = Surroundings(store=store, tenant_id=TenantId(tenant), clock=clock, entropy=entropy)
        invalidator = Invalidator(around)
        cache = TwoLevelCache(around=around, namespace=namespace, codec=codec, policy=policy, invalidator=invalidator)
        return Agent(cache, invalidator)

    return agent


@pytest.fixture
def cache(agent: Callable[..., Agent]) -> TwoLevelCache[str]:
    return agent().cache


@pytest.fixture
def loader() -> Loader:
    return Loader()
