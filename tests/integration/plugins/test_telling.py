"""Plugins hear what was recorded and delivered: after the fact, in order, and never at its expense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest  # noqa: TC002 - for readers
from structlog.testing import capture_logs
from tests.integration.plugins.conftest import inside, running, until
from tests.unit.plugin.conftest import Site  # noqa: TC002 - for readers

from tapi_agent import telemetry
from tapi_agent.ports.hooks import Hearing
from tapi_agent.services.plugins import Telling
from tapi_agent.services.plugins.telling import ROOM

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.usage.conftest import Rig

EAR = """
    import threading
    HEARD, BATCHES, HOPS = [], [], []

    @hookimpl
    def usage_recorded(event):
        HEARD.append(event)
        HOPS.append(threading.current_thread().name)

    @hookimpl
    def usage_delivered(batch):
        BATCHES.append(batch)
"""
SICK = """
    HEARD = []

    @hookimpl
    def usage_recorded(event):
        HEARD.append(event.resource_id)
        if event.resource_id in {"r1", "r2"}:
            raise ValueError("no " + event.resource_id)
"""
DEAF = """
    import threading
    RELEASE = threading.Event()
    HEARD = []

    @hookimpl
    def usage_recorded(event):
        HEARD.append(event)
        RELEASE.wait()
"""


def wired(rig: Rig, plugins: Any) -> Telling:
    telling = Telling(plugins.calls)
    rig.metering.on_recorded(telling.recorded)
    rig.delivery.on_delivered(telling.delivered)
    return telling


async def test_recorded_events_are_heard_in_order_on_the_plugin_s_thread(
    site: Site, load: Callable[..., Any], pipeline: Rig
) -> None:
    site.install("ears", ear=EAR)
    async with running(wired(pipeline, load())):
        ids = await pipeline.record(1200)
        await until(lambda: len(inside("ear").HEARD) == 1200)
    assert [str(event.event_id) for event in inside("ear").HEARD] == ids
    assert set(inside("ear").HOPS) == {"plugin-ear"}


async def test_delivered_batches_are_heard(site: Site, load: Callable[..., Any], pipeline: Rig) -> None:
    site.install("ears", ear=EAR)
    async with running(wired(pipeline, load())):
        await pipeline.record(3)
        await pipeline.delivery.drain()
        await pipeline.delivery.sync()
        await until(lambda: inside("ear").BATCHES)
    (batch,) = inside("ear").BATCHES
    assert [batch] == pipeline.billing.sent


async def test_a_batch_that_nobody_took_is_not_heard_of_until_somebody_has(
    site: Site, load: Callable[..., Any], pipeline: Rig
) -> None:
    site.install("ears", ear=EAR)
    async with running(wired(pipeline, load())):
        pipeline.billing.lose_next_reply()
        await pipeline.record(2)
        await pipeline.delivery.drain()
        await pipeline.delivery.sync()
        assert pipeline.states() == {"sealed": 2}
        assert inside("ear").BATCHES == []
        await pipeline.until(lambda: pipeline.states() == {"synced": 2})
        await until(lambda: inside("ear").BATCHES)
    assert inside("ear").BATCHES[0].body == pipeline.billing.sent[0].body
    assert len(inside("ear").BATCHES) == 1


async def test_a_failing_listener_misses_what_it_failed_over_and_nothing_else(
    site: Site, load: Callable[..., Any], pipeline: Rig
) -> None:
    site.install("ears", ear=EAR, sick=SICK)
    plugins = load()
    async with running(wired(pipeline, plugins)):
        await pipeline.record(5)
        await until(lambda: len(inside("sick").HEARD) == len(inside("ear").HEARD) == 5)
        await until(lambda: plugins.report("sick").failures == 2)
    assert [f"r{number}" for number in range(5)] == inside("sick").HEARD
    assert plugins.report("sick").enabled


async def test_overflow_is_dropped_counted_and_never_slows_recording(
    site: Site, load: Callable[..., Any], pipeline: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROOM, Hearing.RECORDED, 20)
    site.install("ears", ear=EAR, deaf=DEAF)
    telling = wired(pipeline, load())
    before = telemetry.PLUGIN_EVENTS_DROPPED.labels(plugin="deaf", hook="usage_recorded")._value.get()
    async with running(telling):
        with capture_logs() as logs:
            for _ in range(5):
                await pipeline.record(10)
                await until(lambda: len(inside("deaf").HEARD) == 1)
        assert telling.dropped()["deaf"] == 30
        assert [log["plugin"] for log in logs if log["event"] == "plugin.events_dropped"] == ["deaf"]
        await until(lambda: len(inside("ear").HEARD) == 50 - telling.dropped()["ear"])
        inside("deaf").RELEASE.set()
        await until(lambda: len(inside("deaf").HEARD) == 20)
    lost = telemetry.PLUGIN_EVENTS_DROPPED.labels(plugin="deaf", hook="usage_recorded")._value.get() - before
    assert lost == 30


async def test_a_listener_that_hangs_is_left_behind(site: Site, load: Callable[..., Any], pipeline: Rig) -> None:
    site.install("ears", deaf=DEAF)
    plugins = load(timeout=0.05)
    telling = wired(pipeline, plugins)
    async with running(telling):
        await pipeline.record(3)
        await until(lambda: not plugins.report("deaf").enabled)
        await pipeline.record(3)
    assert len(inside("deaf").HEARD) == 1


async def test_slow_is_not_hung(site: Site, load: Callable[..., Any], pipeline: Rig) -> None:
    tardy = EAR.replace("HOPS.append", "threading.Event().wait(0.004) or HOPS.append")
    site.install("ears", ear=tardy)
    plugins = load(timeout=0.2)
    async with running(wired(pipeline, plugins)):
        await pipeline.record(100)
        await until(lambda: len(inside("ear").HEARD) == 100)
    assert plugins.report("ear").enabled
