"""The figures in Redis, for dashboards of the site. They decide nothing, so losing them changes nothing."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import orjson

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.ports.cache import cache_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.ids import TenantId
    from tapi_agent.ports.cache import SharedCache
    from tapi_agent.services.quotas.values import QuotaStatus

_KEPT: Final = timedelta(minutes=5)


class Publishing:
    """Writes each quota of a tenant as JSON under ``tapi:quota:TENANT:METER``, whichever agent has counted last."""

    def __init__(self, *, cache: SharedCache, tenant_id: TenantId) -> None:
        self._cache = cache
        self._tenant_id = tenant_id

    async def publish(self, statuses: Sequence[QuotaStatus]) -> None:
        """Show them for five minutes; nothing while Redis is down."""
        values = {
            cache_key("quota", self._tenant_id, status.meter): orjson.dumps(status, default=str) for status in statuses
        }
        with suppress(UnavailableError):
            await self._cache.set_many(values, ttl=_KEPT)
