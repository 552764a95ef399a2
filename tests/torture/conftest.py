"""The seed, a service for each worker, and a scene for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from itertools import count
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import pytest
from tests.torture.oracle import Oracle
from tests.torture.scene import Scene
from tests.torture.table import lines

from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

_ACCOUNTS: Final = count(1)
_SEED: Final = "TORTURE_SEED"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known when tests of this folder are named on the command line."""
    parser.addoption("--seed", default=os.environ.get(_SEED), help=f"repeat the plan of a run (also {_SEED})")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """``--seed`` or TORTURE_SEED, else another one each time; shown when a test fails, so that it can be repeated."""
    given = request.config.getoption("--seed", default=None) or os.environ.get(_SEED)
    chosen = int(given or int.from_bytes(os.urandom(4)))
    request.node.add_report_section("setup", "seed", f"repeat this plan: {_SEED}={chosen}")
    return chosen


@pytest.fixture
def random(seed: int, request: pytest.FixtureRequest) -> Random:
    """Draws the plan of one test."""
    return Random(f"{seed} {request.node.name}")  # noqa: S311 - a plan must repeat


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was done and seen, where torture was asked for."""
    if "not torture" not in terminalreporter.config.option.markexpr:
        terminalreporter.section("torture")
        for line in lines(terminalreporter.getreports("passed")):
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def torture_service() -> Iterator[SandboxProcess]:
    with (
        tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as folder,
        SandboxProcess(Path(folder) / "ledger.db") as process,
    ):
        yield process


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="ta-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def scene_on(
    folder: Path, torture_service: SandboxProcess, seed: int, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Scene]]:
    """``scene_on(dsn)``: a scene on that database, with an account of its own at the service."""
    scenes: list[Scene] = []

    def make(dsn: str, *, begin: datetime = START) -> Scene:
        account = f"torture-{next(_ACCOUNTS)}"
        torture_service.admin.clear_faults()
        torture_service.admin.add_tenant(account, f"key-of-{account}")
        oracle = Oracle(folder / "oracle.jsonl", tenant=account, seed=seed, begin=begin)
        scenes.append(
            Scene(
                folder=folder,
                dsn=dsn,
                service=torture_service,
                account=account,
                key=f"key-of-{account}",
                oracle=oracle,
                told=request.node.user_properties,
            )
        )
        return scenes[-1]

    yield make
    for scene in scenes:
        for agent in scene.agents:
            agent.stop()
        scene.oracle.close()


@pytest.fixture
def scene(scene_on: Callable[..., Scene], database_dsn: str) -> Scene:
    return scene_on(database_dsn)
