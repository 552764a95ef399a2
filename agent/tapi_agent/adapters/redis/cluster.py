"""A client of Redis Cluster. Which command is about which key is known here, so nobody is asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis._parsers import AsyncCommandsParser
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import SlotNotCoveredError
from typing_extensions import override

from tapi_agent.adapters.redis.client import BARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.connection import AbstractConnection

    from tapi_agent.adapters.redis.address import Address
    from tapi_agent.adapters.redis.client import Command


class ClusterClient:
    """Implements ``adapters.redis.client.Client``. Learns at the first command who holds which keys."""

    def __init__(self, cluster: RedisCluster) -> None:
        self._cluster = cluster

    async def run(self, command: Command, *, shard: str = "") -> Any:  # noqa: ANN401 - whatever the command returns
        """Run a command on the primary that holds its key, or on a named one."""
        where = await self._primary(shard) if shard else self._cluster
        return await where.execute_command(*command)

    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one round trip to each primary concerned, all at once."""
        pipeline = self._cluster.pipeline()
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute()

    async def shards(self) -> Sequence[str]:
        """The primaries."""
        await self._cluster.initialize()
        return [node.name for node in self._cluster.get_primaries()]

    async def connection(self) -> AbstractConnection:
        """An open connection to some primary; what is published reaches all."""
        await self._cluster.initialize()
        connection = self._cluster.get_random_primary_node().acquire_connection()
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    async def close(self) -> None:
        """Close the connections to all members."""
        await self._cluster.aclose()

    async def _primary(self, name: str) -> ClusterNode:
        await self._cluster.initialize()
        node = self._cluster.get_node(node_name=name)
        if node is None:
            raise SlotNotCoveredError(f"{name} has left the cluster")
        return node


def cluster_client(at: Address) -> ClusterClient:
    """A client that learns of the cluster from any of ``at.nodes``; ``TypeError`` when an option does not exist."""
    options = {name: value for name, value in at.options.items() if name != "connection_class"} | {"ssl": at.tls}
    members = [ClusterNode(host, port) for host, port in at.nodes]
    cluster = RedisCluster(startup_nodes=members, **{**options, **BARE})
    cluster.commands_parser = _KeyFirst()
    return ClusterClient(cluster)


class _KeyFirst(AsyncCommandsParser):
    """Every command sent here has its only key first.

    redis-py would have the table of all commands sent and parse it whenever it learns of the cluster anew, and a tenth
    of a second is all the time there is.
    """

    @override
    async def initialize(self, node: ClusterNode | None = None) -> None:
        """There is nothing to learn."""

    @override
    async def get_keys(self, *args: Any) -> tuple[str, ...]:
        return (args[1],)
