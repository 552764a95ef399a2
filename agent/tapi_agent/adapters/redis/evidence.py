"""License evidence in Redis for as long as it is fresh: what a restarted agent reads after its own file."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from tapi_agent.domain.ids import CameraId
from tapi_agent.domain.license import Subject
from tapi_agent.ports.cache import cache_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tapi_agent.adapters.redis.cache import RedisCache
    from tapi_agent.domain.ids import DeviceId, TenantId
    from tapi_agent.domain.license import Evidence

_SEARCH: Final = timedelta(seconds=1)


class RedisEvidence:
    """The evidence of one device and tenant, under ``tapi:{tenant}:evidence:{device}:{camera}`` (an ``EvidenceTier``).

    Several agents may share the server; each looks at its own keys only, as nothing else verifies under its device key.
    """

    name = "redis"

    def __init__(self, *, cache: RedisCache, device_id: DeviceId, tenant_id: TenantId, ttl: timedelta) -> None:
        self._cache = cache
        self._ttl = ttl
        self._owner: tuple[TenantId, str, DeviceId] = (tenant_id, "evidence", device_id)

    async def load(self, subject: Subject) -> str | None:
        """What is kept, or ``None`` for a miss; raises ``UnavailableError``."""
        value = await self._cache.get(cache_key(*self._owner, subject.camera_id))
        return None if value is None else _text(value)

    async def load_all(self) -> Mapping[Subject, str]:
        """All of this device's; on a server too full to search in a second, what was found by then."""
        keys = await self._cache.keys(cache_key(*self._owner, ""), within=_SEARCH)
        values = zip(keys, await self._cache.get_many(keys), strict=True)
        return {self._subject(key): _text(value) for key, value in values if value is not None}

    async def save(self, evidence: Evidence, sealed: str) -> None:
        """Keep it until it is stale anyway; raises ``UnavailableError``."""
        await self._cache.set(cache_key(*self._owner, evidence.subject.camera_id), sealed, ttl=self._ttl)

    def _subject(self, key: bytes) -> Subject:
        tenant_id, _, device_id = self._owner
        camera_id = CameraId(unquote(key.decode().rpartition(":")[2]))
        return Subject(device_id=device_id, tenant_id=tenant_id, camera_id=camera_id)


def _text(value: bytes) -> str:
    """Bytes that are no UTF-8 become text that fails verification, as any other damage does."""
    return value.decode(errors="replace")
