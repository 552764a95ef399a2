"""What the cache asks of a client of redis-py, be there one server, a primary behind Sentinels, or a cluster.

Clients wait as long as it takes; ``adapters.redis.link`` bounds what is asked of them. They have no retries and no
needless handshake: a cache that has to be waited for is none. And no timeouts of redis-py's own: with one it sends
through ``asyncio.wait_for``, which before Python 3.12 swallows a cancellation that comes as it ends, and the timeout
around the command would pass unseen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio.connection import AbstractConnection

Command = tuple[str | bytes | int, ...]
"""A command's name, the key it is about, and what else it wants."""

BARE: Final[Mapping[str, Any]] = {
    "socket_timeout": None,
    "socket_connect_timeout": None,
    "retry": Retry(NoBackoff(), 0),
    "protocol": 2,
    "driver_info": None,
    "decode_responses": False,
}
"""Options of every connection; no URL can change them."""


class Client(Protocol):
    """Connections to wherever the keys are."""

    async def run(self, command: Command, *, shard: str = "") -> Any:  # noqa: ANN401 - whatever the command returns
        """Run a command where its key is, or on one of the ``shards``."""
        ...

    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one round trip, in order, not as a transaction; raises the first error of them."""
        ...

    async def shards(self) -> Sequence[str]:
        """Names of the servers that hold a part of the keys each."""
        ...

    async def connection(self) -> AbstractConnection:
        """An open connection for the caller alone, closed with the client."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
