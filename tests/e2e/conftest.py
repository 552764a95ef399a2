"""A real agent, a real billing service, and an oracle outside both that remembers what was acknowledged."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from e2e_tools import Wall

from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.testing.agent import AgentProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path that the engines' user may pass."""
    path = Path(tempfile.mkdtemp(prefix="ta-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def service(folder: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess(folder / "ledger.db") as sandbox:
        yield sandbox


@pytest.fixture
def launch(folder: Path) -> Iterator[Callable[..., AgentProcess]]:
    """Make agents that are stopped, engines included, when the test is over."""
    made: list[AgentProcess] = []

    def agent(settings: dict[str, str], *, name: str = "agent") -> AgentProcess:
        made.append(AgentProcess(folder / name, settings))
        return made[-1]

    yield agent
    for one in made:
        one.stop()


@pytest.fixture
def wall(folder: Path) -> Wall:
    """A wall clock that agents with its ``settings`` have."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a wall clock with")
    return Wall(folder, compiler)
