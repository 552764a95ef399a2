"""A client of the primary behind Redis Sentinel, whoever that is by the time a connection is opened.

All Sentinels are asked at once, and the first that knows is believed. redis-py asks one after the other, each for as
long as it takes: a hung first one would hide the others for good.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import redis
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from typing_extensions import override

from tapi_agent.adapters.redis.client import BARE
from tapi_agent.adapters.redis.server import ServerClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from tapi_agent.adapters.redis.address import Address


class SentinelClient(ServerClient):
    """Closes its connections to the Sentinels, too."""

    def __init__(self, pool: SentinelConnectionPool, sentinels: Sentinel) -> None:
        super().__init__(pool)
        self._sentinels = sentinels

    @override
    async def close(self) -> None:
        """Close the pool and what was asked of the Sentinels."""
        await super().close()
        await self._sentinels.aclose()


def sentinel_client(at: Address) -> SentinelClient:
    """A client of the primary of ``at.service``; ``TypeError`` when an option does not exist."""
    options = {name: value for name, value in at.options.items() if name != "connection_class"} | {"ssl": at.tls}
    ours = {name: value for name, value in options.items() if name.startswith("ssl")}
    theirs = {**ours, **at.sentinel_login, **BARE}
    sentinels = _Sentinels(at.nodes, sentinel_kwargs=theirs)  # type: ignore[no-untyped-call]
    pool = SentinelConnectionPool(at.service, sentinels, **{**options, **BARE})  # type: ignore[no-untyped-call]
    pool.connection_class(**pool.connection_kwargs)  # connects nothing; an unknown option shows here
    return SentinelClient(pool, sentinels)


class _Sentinels(Sentinel):
    @override
    async def discover_master(self, service_name: str) -> tuple[str, int]:
        asking = [asyncio.ensure_future(self._primary(one, service_name)) for one in self.sentinels]
        try:
            return await _first(asking, service_name)
        finally:
            for one in asking:
                one.cancel()

    async def _primary(self, sentinel: Redis, service: str) -> tuple[str, int] | str:
        """Address of the primary, or why this one does not know it."""
        try:
            state = await sentinel.execute_command("SENTINEL MASTER", service)  # type: ignore[no-untyped-call]
        except (redis.RedisError, OSError) as error:
            return str(error)
        if not self.check_master_state(state, service):
            return "the primary is down"
        return state["ip"], state["port"]


async def _first(asking: Sequence[asyncio.Future[tuple[str, int] | str]], service: str) -> tuple[str, int]:
    reasons = []
    for one in asyncio.as_completed(asking):
        answer = await one
        if not isinstance(answer, str):
            return answer
        reasons.append(answer)
    raise MasterNotFoundError(f"no Sentinel knows a primary of {service!r}: {'; '.join(reasons)}")
