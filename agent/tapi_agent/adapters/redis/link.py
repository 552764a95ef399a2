"""The one way to Redis: bounded in time, guarded by the breaker, every failure ``UnavailableError`` (ADR 0013).

After no answer the client is replaced: whoever answers next is found anew, by its address, its Sentinels or its
cluster, and no connection of before the silence is tried again, one after the other, a timeout each.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import redis
from redis.exceptions import ClusterDownError, RedisClusterException

from tapi_agent.adapters.redis.breaker import Breaker
from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tapi_agent.adapters.redis.client import Client, Command

Answer = TypeVar("Answer")

NO_ANSWER: Final = (redis.ConnectionError, redis.TimeoutError, ClusterDownError, RedisClusterException, OSError)
_WINDOW: Final = timedelta(seconds=2)
_CONNECTIONS: Final = 16
_PAGE: Final = 100
_CLOSE_WITHIN: Final = 1.0


class Link:
    """Asks clients of ``connect``, one at a time. Every method raises ``UnavailableError``.

    That is: after ``timeout`` without an answer, connecting included; when the server refuses; and at once while the
    breaker is open.
    """

    def __init__(self, *, connect: Callable[[], Client], timeout: timedelta, monotonic: Callable[[], float]) -> None:
        self._connect = connect
        self._timeout = timeout.total_seconds()
        self._breaker = Breaker(name="Redis", window=_WINDOW, monotonic=monotonic)
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._client = connect()
        self._retired: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    async def ask(self, *command: str | bytes | int, shard: str = "") -> Any:  # noqa: ANN401 - whatever the command returns
        """The answer to one command."""
        return await self._bounded(lambda client: client.run(command, shard=shard))

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to many, in order; a round trip, and a timeout, for every hundred."""
        pages = [commands[start : start + _PAGE] for start in range(0, len(commands), _PAGE)]
        return [answer for page in pages for answer in await self._ask_page(page)]

    async def shards(self) -> Sequence[str]:
        """Names of the servers that hold a part of the keys each."""
        return await self._bounded(lambda client: client.shards())

    async def close(self) -> None:
        """Close the connections."""
        self._closing.set()
        await closed(self._client)
        await asyncio.gather(*self._retired)

    async def _ask_page(self, page: Sequence[Command]) -> list[Any]:
        return await self._bounded(lambda client: client.run_all(page))

    async def _bounded(self, ask: Callable[[Client], Awaitable[Answer]]) -> Answer:
        self._breaker.admit()
        client = self._client
        try:
            async with asyncio.timeout(self._timeout), self._slots:
                answer = await ask(client)
        except NO_ANSWER as error:
            self._retire(client)
            raise self._breaker.trip(str(error) or f"no answer within {self._timeout:g} s") from error
        except redis.RedisError as error:
            self._breaker.close()  # a refusal is an answer
            raise UnavailableError(f"Redis refuses: {error}") from error
        self._breaker.close()
        return answer

    def _retire(self, client: Client) -> None:
        """Put a new client in the place of one that gave no answer, unless someone else has done so already."""
        if client is self._client:
            self._client = self._connect()
            retiring = asyncio.create_task(self._close_unused(client))
            self._retired.add(retiring)
            retiring.add_done_callback(self._retired.discard)

    async def _close_unused(self, client: Client) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):  # by then everyone who is asking it has given up
                await self._closing.wait()
        await closed(client)


async def closed(client: Client) -> None:
    """TLS waits for the other side to take its leave, and a hung one never does."""
    with suppress(redis.RedisError, OSError):
        async with asyncio.timeout(_CLOSE_WITHIN):
            await client.close()
