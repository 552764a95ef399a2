"""Bytes under keys, with a time to live: the commands the agent uses, each bounded in time and guarded by a breaker."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import redis
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tapi_agent.adapters.redis.breaker import Breaker
from tapi_agent.domain.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_MILLISECOND: Final = timedelta(milliseconds=1)
_WINDOW: Final = timedelta(seconds=2)
_CONNECTIONS: Final = 16
_MANY: Final = 100
_PAGE: Final = 1000
_GLOB: Final = re.compile(r"([\\*?\[\]])")


class RedisCache:
    """A Redis server at ``url`` (``redis://``, ``rediss://`` or ``unix://``); connects when first asked.

    Every method raises ``UnavailableError``: after ``timeout`` without an answer, connecting included; when the server
    refuses; and at once while the breaker is open. ``ConfigurationError`` for a malformed URL, without quoting it.
    """

    def __init__(
        self,
        *,
        url: str,
        password: str | None = None,
        timeout: timedelta = timedelta(milliseconds=100),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout = timeout.total_seconds()
        self._monotonic = monotonic
        self._breaker = Breaker(name="Redis", window=_WINDOW, monotonic=monotonic)
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._client = Redis.from_pool(_pool(url, password))

    async def get(self, key: str) -> bytes | None:
        """The value, or ``None`` for a miss."""
        value: bytes | None = await self._ask(self._client.get, key)
        return value

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """A value or ``None`` for each key, in order; a round trip for every hundred."""
        pages = [keys[start : start + _MANY] for start in range(0, len(keys), _MANY)]
        return [value for page in pages for value in await self._ask(self._client.mget, page)]

    async def set(self, key: str, value: str | bytes, *, ttl: timedelta) -> None:
        """Keep ``value`` for ``ttl``, at most."""
        await self._ask(self._client.set, key, value, px=max(1, ttl // _MILLISECOND))

    async def delete(self, *keys: str) -> None:
        """Forget the keys; unknown ones are fine."""
        await self._ask(self._client.delete, *keys)

    async def keys(self, prefix: str, *, within: timedelta) -> list[bytes]:
        """Keys that begin with ``prefix``, found page by page; after ``within`` what has been found has to do."""
        deadline = self._monotonic() + within.total_seconds()
        found: dict[bytes, None] = {}
        pattern, cursor = _GLOB.sub(r"\\\1", prefix) + "*", 0
        while True:
            cursor, page = await self._ask(self._client.scan, cursor, pattern, _PAGE)
            found |= dict.fromkeys(page)
            if cursor == 0 or self._monotonic() >= deadline:
                return list(found)

    async def ping(self) -> None:
        """Return when the server answers."""
        await self._ask(self._client.ping)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, command: Callable[..., Awaitable[Any]], *arguments: object, **options: object) -> Any:  # noqa: ANN401 - whatever the command returns
        self._breaker.admit()
        try:
            async with asyncio.timeout(self._timeout), self._slots:
                answer = await command(*arguments, **options)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            raise self._breaker.trip(str(error) or f"no answer within {self._timeout:g} s") from error
        except redis.RedisError as error:
            self._breaker.close()  # a refusal is an answer
            raise UnavailableError(f"Redis refuses: {error}") from error
        self._breaker.close()
        return answer


def _pool(url: str, password: str | None) -> ConnectionPool:
    """No retries and no needless handshake: a cache that has to be waited for is none.

    No timeouts of redis-py's own either: with one it sends through ``asyncio.wait_for``, which before Python 3.12
    swallows a cancellation that comes as it ends, and the timeout around the command would pass unseen.
    """
    try:
        pool = ConnectionPool.from_url(
            url,
            **({"password": password} if password else {}),
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        pool.connection_class(**pool.connection_kwargs)  # connects nothing; an unknown option in the URL shows here
    except (ValueError, TypeError):
        raise ConfigurationError("the Redis URL cannot be read", fix="write it as redis://host:6379/0") from None
    return pool
