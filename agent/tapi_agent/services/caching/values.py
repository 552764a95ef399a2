"""How a cache is to behave, and what it remembers of a key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.domain.ids import TenantId
    from tapi_agent.ports.cache import SharedCache
    from tapi_agent.ports.clock import Clock

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all caches of an agent have in common. ``entropy`` gives that many random bytes."""

    store: SharedCache
    tenant_id: TenantId
    clock: Clock
    entropy: Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec(Generic[V]):
    """A value as bytes and back. ``decode`` may raise anything: what it cannot read is a miss."""

    encode: Callable[[V], bytes]
    decode: Callable[[bytes], V]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """A value is at most ``memory_ttl`` + ``shared_ttl`` old; each is shortened by up to a tenth at random.

    ``stale_for``: how long after that a value in memory stands in for a loader that fails; stale beats absent.
    ``first_retry``, ``longest_retry``: the backoff for which a loader's miss or failure is remembered.
    """

    size: int
    memory_ttl: timedelta
    shared_ttl: timedelta
    stale_for: timedelta = timedelta(0)
    first_retry: timedelta = timedelta(seconds=1)
    longest_retry: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Generic[V]):
    """What is remembered of one key; times since boot.

    Until ``due`` nobody is asked. ``failures`` counts the loader's misses and failures since it last had a value;
    ``error`` is its latest, in whose place ``value`` stands until ``stale_until``.
    """

    value: V | None
    due: timedelta
    stale_until: timedelta = timedelta.min
    failures: int = 0
    error: Exception | None = None

    def answer(self, now: timedelta) -> V | None:
        """The value, ``None`` for a miss; raises the loader's error when there is no value fit to stand in for it."""
        if self.error is not None and self.usable(now) is None:
            raise self.error.with_traceback(None)  # it is raised again and again, and would grow each time
        return self.value

    def usable(self, now: timedelta) -> V | None:
        """The value while it may stand in for a failing loader."""
        return self.value if now < self.stale_until else None
