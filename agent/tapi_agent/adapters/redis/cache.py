"""Redis as the agent uses it: values under keys with a time to live, and by name what else Redis has."""

from __future__ import annotations

import time
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from tapi_agent.adapters.redis.channels import Channels
from tapi_agent.adapters.redis.counters import Counters
from tapi_agent.adapters.redis.hashes import Hashes
from tapi_agent.adapters.redis.keyspace import Keyspace, prefixed
from tapi_agent.adapters.redis.link import Link
from tapi_agent.adapters.redis.lists import Lists
from tapi_agent.adapters.redis.opening import opener
from tapi_agent.adapters.redis.ttl import milliseconds, remaining

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from tapi_agent.adapters.redis.client import Command
    from tapi_agent.ports.cache import Announcement

_REPLACE: Final = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


class RedisCache:
    """The Redis at ``url`` (forms in ``adapters.redis.address``); connects when first asked. A ``SharedCache``.

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
        connect = opener(url, password)
        self._monotonic = monotonic
        self._link = Link(connect=connect, timeout=timeout, monotonic=monotonic)
        self._keyspace = Keyspace(self._link)
        self._channels = Channels(self._link, connect)
        self.hashes = Hashes(self._link)
        self.lists = Lists(self._link)
        self.counters = Counters(self._link)

    async def get(self, key: str) -> bytes | None:
        """The value, or ``None`` for a miss."""
        value: bytes | None = await self._link.ask("GET", key)
        return value

    async def get_many(self, keys: Sequence[str | bytes]) -> list[bytes | None]:
        """A value or ``None`` for each key, in order; a round trip for every hundred."""
        return await self._link.ask_all([("GET", key) for key in keys])

    async def set(self, key: str, value: str | bytes, *, ttl: timedelta) -> None:
        """Keep ``value`` for ``ttl``, at most."""
        await self._link.ask("SET", key, value, "PX", milliseconds(ttl))

    async def set_many(self, values: Mapping[str, bytes], *, ttl: timedelta) -> None:
        """Keep each value for ``ttl``, at most; a round trip for every hundred."""
        await self._link.ask_all([("SET", key, value, "PX", milliseconds(ttl)) for key, value in values.items()])

    async def replace(self, key: str, value: bytes, *, seen: bytes | None, ttl: timedelta) -> bool:
        """Keep ``value`` if what is under ``key`` is still what was ``seen`` there; ``False`` when it is not."""
        arguments = (seen or b"", value, milliseconds(ttl))
        return bool(await self._link.ask("EVAL", _REPLACE, 1, key, *arguments))

    async def get_json(self, key: str) -> Any:  # noqa: ANN401 - any JSON
        """The value, read as JSON; damaged JSON is a miss, like none at all."""
        value = await self.get(key)
        try:
            return None if value is None else orjson.loads(value)
        except orjson.JSONDecodeError:
            return None

    async def set_json(self, key: str, value: object, *, ttl: timedelta) -> None:
        """Keep ``value`` as JSON for ``ttl``, at most; ``TypeError`` for what JSON cannot express."""
        await self.set(key, orjson.dumps(value), ttl=ttl)

    async def delete(self, *keys: str) -> None:
        """Forget the keys; unknown ones are fine."""
        await self._link.ask_all([("UNLINK", key) for key in keys])

    async def delete_prefix(self, prefix: str) -> int:
        """Forget all keys that begin with ``prefix``; how many there were. Bounded by the number of keys only."""
        return await self._keyspace.delete(prefixed(prefix))

    async def delete_pattern(self, pattern: str) -> int:
        """Forget all keys that match Redis's glob ``pattern``; how many there were."""
        return await self._keyspace.delete(pattern)

    async def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        return bool(await self._link.ask("EXISTS", key))

    async def expire(self, key: str, ttl: timedelta) -> bool:
        """Let the key live for ``ttl`` from now on; ``False`` when there is none."""
        return bool(await self._link.ask("PEXPIRE", key, milliseconds(ttl)))

    async def ttl(self, key: str) -> timedelta | None:
        """How long the key will live: ``None`` when there is none, ``timedelta.max`` when it does not expire."""
        return remaining(await self._link.ask("PTTL", key))

    async def keys(self, prefix: str, *, within: timedelta) -> list[bytes]:
        """Keys that begin with ``prefix``, found page by page; after ``within`` what has been found has to do."""
        deadline = self._monotonic() + within.total_seconds()
        found: dict[bytes, None] = {}
        async with aclosing(self._keyspace.find(prefixed(prefix))) as pages:
            async for page in pages:
                found |= dict.fromkeys(page)
                if self._monotonic() >= deadline:
                    break
        return list(found)

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to raw commands, each with its only key first; a round trip for every hundred, no transaction."""
        return await self._link.ask_all(commands)

    async def publish(self, channel: str, body: bytes) -> None:
        """Send ``body`` to all who are subscribed now, with the channel's next generation."""
        await self._channels.publish(channel, body)

    def subscription(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[Announcement]]:
        """Messages from the moment of entering on; raises ``UnavailableError`` whenever the line is lost."""
        return self._channels.subscription(channel)

    async def ping(self) -> None:
        """Return when the server answers; in a cluster, when all members do."""
        await self._link.ask("PING")

    async def close(self) -> None:
        """Close the connections."""
        await self._link.close()
