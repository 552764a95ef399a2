"""A client of one server: the one at an address, or whichever a pool takes its connections from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.asyncio import ConnectionPool, Redis

from tapi_agent.adapters.redis.client import BARE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from redis.asyncio.connection import AbstractConnection

    from tapi_agent.adapters.redis.client import Command


class ServerClient:
    """Implements ``adapters.redis.client.Client``."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._redis = Redis.from_pool(pool)
        self._execute: Callable[..., Awaitable[Any]] = self._redis.execute_command
        self._connect: Callable[[], Awaitable[AbstractConnection]] = pool.get_connection

    async def run(self, command: Command, *, shard: str = "") -> Any:  # noqa: ANN401, ARG002 - it is the only shard
        """Run a command."""
        return await self._execute(*command)

    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute()

    async def shards(self) -> Sequence[str]:
        """The server itself."""
        return ("",)

    async def connection(self) -> AbstractConnection:
        """An open connection."""
        return await self._connect()

    async def close(self) -> None:
        """Close the pool."""
        await self._redis.aclose()


def server_client(options: Mapping[str, Any]) -> ServerClient:
    """A client of the server that redis-py's ``options`` tell of; ``TypeError`` when one of them does not exist."""
    pool = ConnectionPool(**{**options, **BARE})
    pool.connection_class(**pool.connection_kwargs)  # connects nothing; an unknown option shows here
    return ServerClient(pool)
