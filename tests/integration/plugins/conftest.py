"""Real plugin distributions on a real spool and a real database."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.usage.conftest import rig
from tests.unit.plugin.conftest import Site, module, site

from tapi_agent.plugin.calls import HookCalls
from tapi_agent.plugin.discovery import discover
from tapi_agent.plugin.host import PluginHost
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.integration.usage.conftest import Rig

__all__ = ["Site", "site"]

PATIENCE = 20
INSTALLED = {candidate.name for candidate in discover()} - {"base-catalog"}
"""Plugins of this environment: left out, these tests bring their own."""


class Plugins:
    """Those that the test has installed, loaded."""

    def __init__(self, timeout: timedelta) -> None:
        self.host = PluginHost(timeout=timeout, disabled=INSTALLED)
        self.declarations = self.host.load()
        self.calls = HookCalls(self.host, monotonic=time.monotonic, timeout=timeout)

    def report(self, name: str) -> Any:
        return next(one for one in self.host.report() if one.name == name)


def inside(name: str) -> Any:
    """A plugin's module."""
    return sys.modules[module(name)]


async def until(condition: Callable[[], object]) -> None:
    """Return when it holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(service: Any) -> AsyncIterator[None]:
    """The service's ``run``, while the block lasts."""
    task = asyncio.create_task(service.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def load() -> AsyncIterator[Callable[..., Plugins]]:
    """``load()`` loads what is installed by then."""
    loaded: list[Plugins] = []

    def make(*, timeout: float = PATIENCE) -> Plugins:
        loaded.append(Plugins(timedelta(seconds=timeout)))
        return loaded[-1]

    yield make
    for plugins in loaded:
        plugins.host.close()


@pytest.fixture
def billing() -> Iterator[FakeBilling]:
    return FakeBilling()


@pytest.fixture
async def pipeline(database_dsn: str, tmp_path: Path, billing: FakeBilling) -> AsyncIterator[Rig]:
    """Metering and delivery."""
    async with rig(database_dsn, tmp_path / "spool.db", billing) as made:
        yield made
