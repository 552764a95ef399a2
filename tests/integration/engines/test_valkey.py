"""Valkey's own wheel, really started."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import redis

from tapi_agent.adapters.engines import EmbeddedValkey, EngineState
from tapi_agent.adapters.engines.account import engine_account
from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tapi_agent.testing.engines import RunningEngines

DEADLINE = 30


@pytest.fixture
def client(engines: RunningEngines) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(engines.url, decode_responses=True) as connected:
        yield connected


def test_it_keeps_what_it_is_given(client: redis.Redis) -> None:
    client.set("key", "value")
    assert client.get("key") == "value"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("port", "0"),
        ("save", ""),
        ("appendonly", "no"),
        ("maxmemory", str(64 << 20)),
        ("maxmemory-policy", "allkeys-lru"),
        ("unixsocketperm", "700"),
    ],
)
def test_a_fresh_server_is_as_designed(client: redis.Redis, setting: str, expected: str) -> None:
    assert client.config_get(setting) == {setting: expected}


def test_nobody_gets_in_without_the_password(engines: RunningEngines) -> None:
    path = engines.url.split("@")[1].split("?")[0]
    with redis.Redis(unix_socket_path=path) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.get("key")


async def test_the_url_is_known_before_the_start_and_the_same_for_the_next_agent(state_dir: Path) -> None:
    first = EmbeddedValkey(state_dir)
    url = first.url
    password = state_dir / "valkey/password"
    assert password.stat().st_mode & 0o777 == 0o600
    assert password.read_text() in url
    await first.start()
    second = EmbeddedValkey(state_dir)
    assert second.url == url
    with redis.Redis.from_url(url) as connected:
        assert connected.ping()


async def test_the_password_is_on_no_command_line(valkey: EmbeddedValkey, state_dir: Path) -> None:
    with open(f"/proc/{valkey.pid}/cmdline") as file:  # noqa: ASYNC230, PTH123 - a kernel file
        assert (state_dir / "valkey/password").read_text() not in file.read()


async def test_a_path_with_a_space_and_a_quote_works(place: Path) -> None:
    engine = EmbeddedValkey(place / "it's 100% a box")
    await engine.start()
    with redis.Redis.from_url(engine.url) as connected:
        assert connected.ping()
    await engine.stop()


async def test_another_memory_limit_replaces_the_running_one(valkey: EmbeddedValkey, state_dir: Path) -> None:
    same, other = EmbeddedValkey(state_dir), EmbeddedValkey(state_dir, max_memory_mb=32)
    await same.start()
    assert (same.adopted, same.pid) == (True, valkey.pid)
    first = valkey.pid
    await other.start()
    assert not other.adopted
    assert other.pid != first
    with redis.Redis.from_url(other.url) as connected:
        assert connected.config_get("maxmemory") == {"maxmemory": str(32 << 20)}


async def test_supervision_restarts_a_killed_server(state_dir: Path) -> None:
    engine = EmbeddedValkey(state_dir)
    task = asyncio.create_task(engine.supervise())
    async with asyncio.timeout(DEADLINE):
        while (first := engine.pid) is None or engine.state is not EngineState.RUNNING:
            await asyncio.sleep(0.01)
        os.kill(first, signal.SIGKILL)
        while engine.pid in {None, first} or engine.state is not EngineState.RUNNING:
            await asyncio.sleep(0.01)
    with redis.Redis.from_url(engine.url) as connected:
        assert connected.ping()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_pid_reused_by_another_process_is_not_mistaken(valkey: EmbeddedValkey, state_dir: Path) -> None:
    await valkey.stop()
    account = engine_account()
    socket = state_dir / "valkey/run/valkey.sock"
    stranger = await asyncio.create_subprocess_exec("tail", "-f", "/dev/null", str(socket), **account.identity())
    pid_file = state_dir / "valkey/run/valkey.pid"
    pid_file.write_text(f"{stranger.pid}\n")
    os.chown(pid_file, account.uid, account.gid)
    await valkey.start()
    assert valkey.pid not in {None, stranger.pid}
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


async def test_one_whose_password_is_lost_is_replaced(valkey: EmbeddedValkey, state_dir: Path) -> None:
    first = valkey.pid
    (state_dir / "valkey/password").unlink()
    with pytest.raises(UnavailableError, match="valkey is silent"):
        await EmbeddedValkey(state_dir, start_within=timedelta(seconds=0.5)).start()
    engine = EmbeddedValkey(state_dir)
    await engine.start()
    assert (engine.adopted, engine.pid == first) == (False, False)


async def test_one_that_hangs_is_killed_in_the_end(state_dir: Path) -> None:
    engine = EmbeddedValkey(state_dir, stop_within=timedelta(seconds=0.2))
    await engine.start()
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)
    await engine.stop()
    assert engine.pid is None
