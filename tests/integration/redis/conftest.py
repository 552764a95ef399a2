"""Real servers: the shared Valkey, and Sentinels and clusters of Valkeys that a test may kill."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import redis

from tapi_agent.adapters.engines import wheels
from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    Condition = Callable[[], Awaitable[object]]

PATIENT: Final = timedelta(seconds=5)
_LOOK: Final = 0.02
_SLOTS: Final = ((0, 5460), (5461, 10922), (10923, 16383))
_PID: Final = os.getpid()
LOOPBACK: Final = f"127.{1 + _PID // 62_500 % 250}.{_PID // 250 % 250}.{1 + _PID % 250}"
"""An address that no other process uses: a port found free on it stays free."""


@pytest.fixture
async def cache(valkey_url: str) -> AsyncIterator[RedisCache]:
    """A cache with more patience than the agent's: what is tested with it is not how fast a busy machine is."""
    cache = RedisCache(url=valkey_url, timeout=PATIENT)
    yield cache
    await cache.close()


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Wait for a condition, with a deadline in seconds."""

    async def eventually(condition: Condition, *, within: float) -> None:
        async with asyncio.timeout(within):
            while not await condition():
                await asyncio.sleep(_LOOK)

    return eventually


class Node:
    """A ``valkey-server`` of the test's own on a TCP port."""

    def __init__(self, folder: Path, config: str, *options: str, password: str | None = None) -> None:
        self.host, self.port = LOOPBACK, _free_port()
        self._home = folder / str(self.port)
        self._home.mkdir()
        file = self._home / "valkey.conf"
        common = f"bind {self.host}\nbind-source-addr {self.host}\nport {self.port}\nsave ''\ndir {self._home}\n"
        file.write_text(common + config + (f"\nrequirepass {password}\n" if password else "\n"))
        self._command = [wheels.valkey().program("valkey-server"), str(file), *options]
        self.client = redis.Redis(host=self.host, port=self.port, password=password, decode_responses=True)
        self.start()

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._answers, within=10, what=f"Valkey at {self.place}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        self.client.close()
        self.kill()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


def _in_step(replica: Node) -> bool:
    return replica.client.info("replication").get("master_link_status") == "up"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _nodes() -> Iterator[Callable[..., Node]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp")))

        def node(config: str, *options: str, password: str | None = None) -> Node:
            started = Node(folder, config, *options, password=password)
            stack.callback(started.stop)
            return started

        yield node


class SentinelSite:
    """A primary, its replica, and three Sentinels that promote the replica half a second after the primary is gone."""

    def __init__(self, node: Callable[..., Node]) -> None:
        server = "masterauth secret\nrepl-diskless-sync-delay 0"
        self.primary = node(server, password="secret")
        self.replica = node(f"{server}\nreplicaof {self.primary.host} {self.primary.port}", password="secret")
        wait_until(lambda: _in_step(self.replica), within=20, what="a replica in step")
        watch = (
            f"sentinel monitor site {self.primary.host} {self.primary.port} 2\nsentinel auth-pass site secret\n"
            "sentinel down-after-milliseconds site 500\nsentinel failover-timeout site 2000\n"
            "sentinel sentinel-pass guard"
        )
        self.sentinels = [node(watch, "--sentinel", password="guard") for _ in range(3)]
        wait_until(self._ready, within=20, what="Sentinels that know each other and the replica")

    @property
    def url(self) -> str:
        places = ",".join(sentinel.place for sentinel in self.sentinels)
        return f"redis+sentinel://:secret@{places}/site/0?sentinel_password=guard"

    def _ready(self) -> bool:
        states = [sentinel.client.sentinel_master("site") for sentinel in self.sentinels]
        return all(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1 for state in states)


@pytest.fixture
def sentinel_site() -> Iterator[SentinelSite]:
    """Redis Sentinel, with passwords."""
    with _nodes() as node:
        yield SentinelSite(node)


class ClusterSite:
    """Three primaries that share the slots, and a replica of the first."""

    def __init__(self, node: Callable[..., Node]) -> None:
        self.primaries = [_member(node, _free_port()) for _ in range(3)]
        bus = _free_port()
        self.replica = _member(node, bus)
        for number, member in enumerate(self.members, start=1):
            member.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number)
        for member, slots in zip(self.primaries, _SLOTS, strict=True):
            member.client.execute_command("CLUSTER ADDSLOTSRANGE", *slots)
            member.client.execute_command("CLUSTER MEET", self.replica.host, self.replica.port, bus)
        wait_until(lambda: all(_met(member) for member in self.members), within=20, what="a cluster in order")
        first = self.primaries[0].client.execute_command("CLUSTER MYID")
        self.replica.client.execute_command("CLUSTER REPLICATE", first)
        wait_until(lambda: _in_step(self.replica), within=20, what="a replica in step")

    @property
    def members(self) -> list[Node]:
        return [*self.primaries, self.replica]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(member.place for member in self.members)


def _member(node: Callable[..., Node], bus: int) -> Node:
    return node(
        f"cluster-enabled yes\ncluster-port {bus}\ncluster-announce-ip {LOOPBACK}\ncluster-node-timeout 500\n"
        "cluster-require-full-coverage no\nrepl-diskless-sync-delay 0"
    )


def _met(member: Node) -> bool:
    state = member.client.execute_command("CLUSTER INFO")
    return state["cluster_state"] == "ok" and state["cluster_known_nodes"] == "4"


@pytest.fixture
def cluster_site() -> Iterator[ClusterSite]:
    """Redis Cluster."""
    with _nodes() as node:
        yield ClusterSite(node)
