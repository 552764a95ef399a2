"""What bootstrap makes of all that: one plugin with every hook on usage and time, on the services of an agent."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from tests.integration.plugins.conftest import INSTALLED, inside, until
from tests.integration.usage.conftest import connected
from tests.unit.plugin.conftest import Site  # noqa: TC002 - for readers

from tapi_agent.bootstrap.core import core
from tapi_agent.bootstrap.plugins import plugin_work
from tapi_agent.bootstrap.stores import stores
from tapi_agent.bootstrap.usage import usage
from tapi_agent.domain.delivery import WireBatch
from tapi_agent.domain.ids import BatchId
from tapi_agent.plugin.host import PluginHost
from tapi_agent.settings import load as load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tapi_agent.bootstrap.core import Core
    from tapi_agent.bootstrap.plugins import PluginWork
    from tapi_agent.bootstrap.stores import Stores
    from tapi_agent.bootstrap.usage import Usage
    from tapi_agent.jobs.table import Job

BUSY = """
    from datetime import timedelta
    from decimal import Decimal
    HEARD, BATCHES, TAKEN, RUNS = [], [], [], []

    class Tape:
        name = "tape"
        since_beginning = True

        def send(self, events):
            TAKEN.extend(events)

    @hookimpl
    def register_meters():
        return [Meter(key="coffee_cups", unit="cups", every=timedelta(seconds=1))]

    @hookimpl
    def register_jobs():
        return [Job(name="brew", every=timedelta(hours=1), run=lambda: RUNS.append(1))]

    @hookimpl
    def collect_usage(since, until):
        yield UsageSample(resource_id="kitchen", quantity=Decimal(1), at=since)

    @hookimpl
    def usage_recorded(event):
        HEARD.append(event)

    @hookimpl
    def usage_delivered(batch):
        BATCHES.append(batch)

    @hookimpl
    def usage_sink():
        return Tape()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The services that ``plugin_work`` builds on, and what it made."""

    core: Core
    stores: Stores
    usage: Usage
    work: PluginWork

    def job(self, name: str) -> Job:
        return next(job for job in self.work.jobs if job.name == name)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: an agent's sockets are to fit into its state directory."""
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as name:
        yield Path(name)


@asynccontextmanager
async def built(folder: Path, dsn: str) -> AsyncIterator[Bench]:
    """All tasks under way."""
    settings = load_settings({"TAPI_STATE_DIR": str(folder), "POSTGRES_DSN": dsn, "TENANT_ID": "acme"}, folder)
    host = PluginHost(disabled=INSTALLED)
    declared = host.load()
    chosen = stores(settings)
    base = core(settings, chosen.database)
    metered = usage(settings, base, chosen, declared.meters)
    work = plugin_work(settings, base, chosen, metered, host)
    async with AsyncExitStack() as stack:
        stack.callback(host.close)
        await base.clock.start()
        await chosen.database.open()
        stack.push_async_callback(chosen.database.close)
        await connected(chosen.database)
        await metered.spool.open()
        stack.push_async_callback(metered.spool.close)
        tasks = [asyncio.create_task(task()) for task in work.tasks.values()]
        stack.push_async_callback(asyncio.gather, *tasks, return_exceptions=True)
        for task in tasks:
            stack.callback(task.cancel)
        yield Bench(core=base, stores=chosen, usage=metered, work=work)


async def collected(bench: Bench) -> None:
    """Do what the schedule does until the plugin has heard of its own samples."""
    async with asyncio.timeout(20):
        while not inside("bee").HEARD:
            wish: Any = await bench.job("usage-collect").verb()
            await asyncio.sleep(min(wish.total_seconds(), 1))


async def test_every_hook_is_served(site: Site, folder: Path, database_dsn: str) -> None:
    site.install("busy-bees", bee=BUSY)
    batch = WireBatch(batch_id=BatchId(UUID(int=1)), body=b"{}")
    async with built(folder, database_dsn) as bench:
        await bench.job("plugin/bee/brew").verb()
        await collected(bench)
        await bench.usage.delivery.drain()
        await until(lambda: inside("bee").TAKEN)
        bench.usage.delivery._settler.announce(batch)
        await until(lambda: inside("bee").BATCHES)
    (event, *_) = inside("bee").HEARD
    assert (event.event_type, event.resource_id) == ("coffee_cups", "kitchen")
    assert inside("bee").TAKEN[0] == event
    assert [batch] == inside("bee").BATCHES
    assert inside("bee").RUNS == [1]
    (told,) = [one for one in bench.work.overview.report() if one.name == "bee"]
    assert (told.enabled, told.failures, told.dropped) == (True, 0, 0)


async def test_jobs_are_lines_of_the_schedule(site: Site, folder: Path, database_dsn: str) -> None:
    site.install("busy-bees", bee=BUSY)
    async with built(folder, database_dsn) as bench:
        brew = bench.job("plugin/bee/brew")
        assert brew.interval == brew.first == timedelta(hours=1)
        assert [job.name for job in bench.work.adopt()] == [job.name for job in bench.work.jobs[1:]]


async def test_a_plugin_that_comes_later_is_served_as_well(site: Site, folder: Path, database_dsn: str) -> None:
    async with built(folder, database_dsn) as bench:
        site.install("busy-bees", bee=BUSY)
        host = bench.work.overview._plugins
        await host.reload()
        assert "plugin/bee/brew" in {job.name for job in bench.work.adopt()}
        await bench.usage.metering.record({"event_type": "api_call", "quantity": 1})
        await until(lambda: inside("bee").HEARD)
        await bench.usage.delivery.drain()
        await until(lambda: inside("bee").TAKEN)
