"""Redis channels whose messages are numbered, on connections of their own that notice when they have gone deaf.

redis-py's PubSub reconnects and subscribes again by itself, and nobody would learn what was missed meanwhile.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import redis

from tapi_agent.adapters.redis.link import NO_ANSWER, closed
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.ports.cache import Announcement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from redis.asyncio.connection import AbstractConnection

    from tapi_agent.adapters.redis.client import Client
    from tapi_agent.adapters.redis.link import Link

_PUBLISH: Final = """
local generation = redis.call('INCR', KEYS[1])
return redis.call('PUBLISH', ARGV[1], generation .. ' ' .. ARGV[2])
"""
_UNNUMBERED: Final = 0
_SUBSCRIBE_WITHIN: Final = 1.0
_PING_EVERY: Final = 1.0
_DEAF_AFTER: Final = 3.0


class Channels:
    """Publishes through ``link``; each subscription opens a client of its own."""

    def __init__(self, link: Link, connect: Callable[[], Client]) -> None:
        self._link = link
        self._connect = connect

    async def publish(self, channel: str, body: bytes) -> None:
        """Number ``body`` and send it, in one step: messages arrive in the order of their numbers."""
        await self._link.ask("EVAL", _PUBLISH, 1, f"{channel}:generation", channel, body)

    @asynccontextmanager
    async def subscription(self, channel: str) -> AsyncIterator[_Line]:
        """Messages from the moment of entering on."""
        client = self._connect()
        try:
            with _translated():
                async with asyncio.timeout(_SUBSCRIBE_WITHIN):
                    connection = await _subscribed(client, channel)
            pinging = asyncio.create_task(_keep_pinging(connection))
            try:
                yield _Line(connection)
            finally:
                pinging.cancel()
        finally:
            await closed(client)


class _Line:
    """The messages of one subscription."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    def __aiter__(self) -> _Line:
        return self

    async def __anext__(self) -> Announcement:
        while True:
            with _translated():
                async with asyncio.timeout(_DEAF_AFTER):
                    kind, *_, body = await self._connection.read_response()
            if kind == b"message":
                return _announcement(body)


def _announcement(text: bytes) -> Announcement:
    """What others have put on the channel has no number, and so counts as a sign of loss."""
    number, _, body = text.partition(b" ")
    return Announcement(generation=int(number) if number.isdigit() else _UNNUMBERED, body=body)


async def _subscribed(client: Client, channel: str) -> AbstractConnection:
    connection = await client.connection()
    await connection.send_command("SUBSCRIBE", channel)
    await connection.read_response()
    return connection


async def _keep_pinging(connection: AbstractConnection) -> None:
    """A channel may be silent for days, but then it answers: a line to a host that is gone does not."""
    with suppress(redis.RedisError, *NO_ANSWER):  # whoever reads from it will notice
        while True:
            await asyncio.sleep(_PING_EVERY)
            await connection.send_command("PING")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, *NO_ANSWER) as error:
        raise UnavailableError(f"the line to Redis is lost: {str(error) or 'no answer'}") from error
