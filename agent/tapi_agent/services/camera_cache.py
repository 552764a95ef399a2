"""The cameras of the site, read through the cache that agents share; what is written is forgotten there at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import orjson

from tapi_agent.domain.camera import CameraSetup, setup_from
from tapi_agent.services.caching import CachePolicy, Codec, TwoLevelCache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId, DeviceId
    from tapi_agent.ports.cameras import CameraStore
    from tapi_agent.services.caching import Invalidator, Surroundings

_NAMESPACE: Final = "cameras"
_ALL: Final = "all"
_POLICY: Final = CachePolicy(
    size=1024,
    memory_ttl=timedelta(seconds=10),
    shared_ttl=timedelta(seconds=20),  # an import says nothing to anybody
    stale_for=timedelta(hours=1),
    longest_retry=timedelta(seconds=1),
)


class CachedCameras:
    """A ``ports.cameras.CameraStore`` in front of another.

    What was read before is answered for another hour while PostgreSQL is down; nothing is written then.
    """

    def __init__(self, store: CameraStore, *, around: Surroundings, invalidator: Invalidator) -> None:
        self._store = store
        codec = Codec(encode=orjson.dumps, decode=_decoded)
        self._cache: TwoLevelCache[tuple[CameraSetup, ...]] = TwoLevelCache(
            around=around, namespace=_NAMESPACE, codec=codec, policy=_POLICY, invalidator=invalidator
        )

    async def all(self) -> Sequence[CameraSetup]:
        """Every camera of the tenant, by seniority."""

        async def load() -> tuple[CameraSetup, ...]:
            return tuple(await self._store.all())

        return await self._cache.get(_ALL, load) or ()

    async def get(self, camera_id: CameraId) -> CameraSetup | None:
        """One camera of the tenant."""

        async def load() -> tuple[CameraSetup, ...]:
            setup = await self._store.get(camera_id)
            return () if setup is None else (setup,)

        found = await self._cache.get(_one(camera_id), load)
        return found[0] if found else None

    async def save(self, setups: Sequence[CameraSetup]) -> Sequence[CameraSetup]:
        """Keep these, all or none."""
        try:
            return await self._store.save(setups)
        finally:
            await self._forget(*(setup.camera_id for setup in setups))

    async def change(self, camera_id: CameraId, change: Callable[[CameraSetup], CameraSetup]) -> CameraSetup | None:
        """Keep what ``change`` makes of a camera as it is in the database."""
        try:
            return await self._store.change(camera_id, change)
        finally:
            await self._forget(camera_id)

    async def delete(self, camera_id: CameraId, device_id: DeviceId) -> bool:
        """Forget a camera of a device."""
        try:
            return await self._store.delete(camera_id, device_id)
        finally:
            await self._forget(camera_id)

    async def registrations(self) -> Mapping[CameraId, datetime]:
        """When each camera of this device was first registered, as the database has it."""
        return await self._store.registrations()

    async def register(self, registrations: Mapping[CameraId, datetime]) -> None:
        """Add the cameras that are missing."""
        try:
            await self._store.register(registrations)
        finally:
            await self._forget(*registrations)

    async def _forget(self, *camera_ids: CameraId) -> None:
        """Also after an error: nobody knows whether a COMMIT without an answer counted."""
        await self._cache.forget(_ALL, *map(_one, camera_ids))


def _one(camera_id: CameraId) -> str:
    return f"one:{camera_id}"


def _decoded(raw: bytes) -> tuple[CameraSetup, ...]:
    return tuple(map(setup_from, orjson.loads(raw)))
