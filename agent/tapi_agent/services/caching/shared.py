"""The shared level: values of one namespace in the store that agents share, and tombstones of what was forgotten.

A value loaded before an invalidation must not be put back after it. So forgetting leaves a tombstone that no other is
like, and a value is stored only in the place of exactly what was seen before it was loaded (ADR 0016).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.ports.cache import cache_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.services.caching.values import Codec, Surroundings

V = TypeVar("V")

_VALUE: Final = b"="
_TOMBSTONE: Final = b"!"
_TOKEN_BYTES: Final = 8
_TOMBSTONE_TTL: Final = timedelta(minutes=1)
"""Longer than any load takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Generic[V]):
    """What was found under a key: ``raw`` as it is, ``value`` if that is one. Not ``reachable``: nothing is known."""

    value: V | None = None
    raw: bytes | None = None
    reachable: bool = True


class SharedLevel(Generic[V]):
    """Values of ``namespace``. While the store is down, nothing is found and nothing is kept."""

    def __init__(self, *, around: Surroundings, namespace: str, codec: Codec[V], size: int) -> None:
        self._store = around.store
        self._owner = (around.tenant_id, "cache", namespace)
        self._codec = codec
        self._entropy = around.entropy
        self._size = size
        self._unburied: dict[str, None] = {}

    async def look(self, key: str) -> Place[V]:
        """What is under ``key``; never what was forgotten here while the store was down."""
        try:
            if key in self._unburied:
                await self.bury([key])
            raw = await self._store.get(cache_key(*self._owner, key))
        except UnavailableError:
            return Place(reachable=False)
        return Place(raw=raw, value=self._decoded(raw) if raw and raw.startswith(_VALUE) else None)

    async def keep(self, key: str, value: V, *, instead_of: Place[V], ttl: timedelta) -> None:
        """Keep the value, unless something has changed under ``key`` since it was looked at."""
        if instead_of.reachable:
            raw = _VALUE + self._codec.encode(value)
            with suppress(UnavailableError):
                await self._store.replace(cache_key(*self._owner, key), raw, seen=instead_of.raw, ttl=ttl)

    async def bury(self, keys: Sequence[str]) -> None:
        """Nobody finds the keys any more, nor puts back what was loaded before.

        Raises ``UnavailableError``; then it is done when a key is looked at next, for the latest ``size`` keys.
        """
        self._owe(keys)
        tombstone = _TOMBSTONE + self._entropy(_TOKEN_BYTES)
        await self._store.set_many({cache_key(*self._owner, key): tombstone for key in keys}, ttl=_TOMBSTONE_TTL)
        for key in keys:
            self._unburied.pop(key, None)

    def _owe(self, keys: Sequence[str]) -> None:
        self._unburied |= dict.fromkeys(keys)
        for key in list(self._unburied)[: -self._size]:
            del self._unburied[key]

    def _decoded(self, raw: bytes) -> V | None:
        try:
            return self._codec.decode(raw[len(_VALUE) :])
        except Exception:  # noqa: BLE001 - whatever is wrong with it, another program or version may have written it
            return None
