"""State directories with short paths, engines that end with their test, and an agent process to kill."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tapi_agent.adapters.engines import EmbeddedPostgres, EmbeddedValkey
from tapi_agent.testing.engines import RunningEngines, running_engines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

AGENT = Path(__file__).with_name("agent_process.py")


@pytest.fixture(scope="session")
def engines() -> Iterator[RunningEngines]:
    with running_engines() as running:
        yield running


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory which every user may pass."""
    directory = Path(tempfile.mkdtemp(prefix="ta-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    end_what_runs_below(directory)
    shutil.rmtree(directory)


def end_what_runs_below(directory: Path) -> None:
    """Stop engines which a test has left, whoever they run as."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(directory) in (entry / "cmdline").read_bytes():
                descriptor = os.pidfd_open(int(entry.name))
                signal.pidfd_send_signal(descriptor, signal.SIGINT)
                select.select([descriptor], [], [], 10)
                os.close(descriptor)


@pytest.fixture
def state_dir(place: Path) -> Path:
    """A state directory that is not there yet."""
    return place / "state"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """An initialized cluster to copy: initdb is what takes the time."""
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as directory:
        with running_engines(Path(directory)):
            pass
        yield Path(directory, "postgres")


@pytest.fixture
def initialized(state_dir: Path, cluster: Path) -> Path:
    """A state directory with such a copy."""
    state_dir.mkdir(mode=0o700)
    subprocess.run(["cp", "-a", cluster, state_dir / "postgres"], check=True)
    return state_dir


@pytest.fixture
async def postgres(initialized: Path) -> AsyncIterator[EmbeddedPostgres]:
    engine = EmbeddedPostgres(initialized)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def valkey(state_dir: Path) -> AsyncIterator[EmbeddedValkey]:
    engine = EmbeddedValkey(state_dir)
    await engine.start()
    yield engine
    await engine.stop()


class AgentProcess:
    """The program in agent_process.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def report(self) -> dict[str, Any]:
        """What it saw; fails with its last words when it could not start."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate()
            pytest.fail(errors)
        return dict(json.loads(line))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def finish(self) -> None:
        _, errors = self.process.communicate("")
        assert self.process.returncode == 0, errors


@pytest.fixture
def start_agent() -> Iterator[Callable[..., AgentProcess]]:
    agents: list[AgentProcess] = []

    def start(state_dir: Path, *options: str, path: Path | None = None) -> AgentProcess:
        modules = [str(path)] if path else []
        environment = {**os.environ, "PYTHONPATH": ":".join([*modules, os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, str(AGENT), str(state_dir), *options]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
        agents.append(AgentProcess(process))
        return agents[-1]

    yield start
    for agent in agents:
        agent.kill()
