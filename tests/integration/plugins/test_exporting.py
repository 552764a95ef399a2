"""Sinks take every event in order: exactly once without failures, at least once with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs
from tests.integration.plugins.conftest import inside, running, until
from tests.integration.usage.conftest import DEVICE
from tests.unit.plugin.conftest import Site  # noqa: TC002 - for readers

from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.postgres.sinks import PostgresSinkLog
from tapi_agent.services.plugins import Exporting, Overview, Telling

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.usage.conftest import Rig

    from tapi_agent.ports.sinks import SinkLog, SinkPage

ARCHIVE = """
    import threading
    RELEASE = threading.Event()
    TAKEN, PAGES, TROUBLE = [], [], []

    class Archive:
        name = "tape"
        since_beginning = SINCE

        def send(self, events):
            if "hang" in TROUBLE:
                RELEASE.wait()
            if TROUBLE:
                raise ConnectionError(TROUBLE[0])
            PAGES.append(len(events))
            TAKEN.extend(str(event.event_id) for event in events)

    @hookimpl
    def usage_sink():
        return Archive()
"""
NEWS, ALL = ARCHIVE.replace("SINCE", "False"), ARCHIVE.replace("SINCE", "True")


def exporting(rig: Rig, plugins: Any, log: SinkLog | None = None) -> Exporting:
    made = Exporting(
        sinks=plugins.calls,
        log=log or PostgresSinkLog(database=rig.database, device_id=DEVICE),
        spool=rig.spool,
        entropy=bytes,
    )
    rig.delivery.on_drained(made.drained)
    return made


async def caught_up(service: Exporting, key: str = "archive/tape") -> None:
    await until(lambda: service.standings()[key].behind == 0)


async def test_a_sink_takes_everything_in_order_exactly_once(
    site: Site, load: Callable[..., Any], pipeline: Rig
) -> None:
    site.install("tapes", archive=NEWS)
    await pipeline.record(7)
    await pipeline.delivery.drain()
    service = exporting(pipeline, load())
    async with running(service):
        await caught_up(service)
        ids = [*await pipeline.record(600), *await pipeline.record(1), *await pipeline.record(900)]
        await pipeline.delivery.drain()
        await until(lambda: len(inside("archive").TAKEN) >= 1501)
    assert ids == inside("archive").TAKEN
    assert max(inside("archive").PAGES) <= 500


async def test_a_sink_may_begin_at_the_beginning_and_goes_on_after_a_restart(
    site: Site, load: Callable[..., Any], pipeline: Rig
) -> None:
    site.install("tapes", archive=ALL)
    plugins = load()
    ids = await pipeline.record(5)
    await pipeline.delivery.drain()
    async with running(exporting(pipeline, plugins)):
        await until(lambda: len(inside("archive").TAKEN) == 5)
        await until(lambda: pipeline.query("SELECT FROM usage_sink_cursors WHERE seq = 5"))
    ids += await pipeline.record(5)
    await pipeline.delivery.drain()
    async with running(exporting(pipeline, plugins)):
        await until(lambda: len(inside("archive").TAKEN) == 10)
    assert ids == inside("archive").TAKEN


class Deadly(PostgresSinkLog):
    """Dies between a sink's yes and its cursor."""

    died = False

    async def advance(self, sink: str, page: SinkPage) -> None:
        self.died = True
        await asyncio.Event().wait()


async def test_after_a_kill_between_sending_and_the_cursor_the_page_comes_again(
    site: Site, load: Callable[..., Any], pipeline: Rig
) -> None:
    site.install("tapes", archive=ALL)
    plugins = load()
    ids = await pipeline.record(3)
    await pipeline.delivery.drain()
    deadly = Deadly(database=pipeline.database, device_id=DEVICE)
    async with running(exporting(pipeline, plugins, deadly)):
        await until(lambda: deadly.died)
    async with running(exporting(pipeline, plugins)):
        await until(lambda: len(inside("archive").TAKEN) == 6)
    assert ids + ids == inside("archive").TAKEN


async def test_a_failing_sink_is_waited_for_and_its_plugin_is_not_blamed(
    site: Site, load: Callable[..., Any], pipeline: Rig
) -> None:
    site.install("tapes", archive=ALL)
    plugins = load()
    service = exporting(pipeline, plugins)
    overview = Overview(plugins=plugins.host, telling=Telling(plugins.calls), exporting=service)
    inside("archive").TROUBLE.append("tape torn")
    ids = await pipeline.record(4)
    with capture_logs() as logs:
        async with running(service):
            await pipeline.delivery.drain()
            await until(lambda: service.standings()["archive/tape"].failures > 4)
            (told,) = [one for one in overview.report() if one.name == "archive"]
            assert (told.enabled, told.failures, told.behind, told.dropped) == (True, 0, 4, 0)
            (ill,) = [one for one in await overview.health() if one.name == "archive/tape"]
            assert not ill.healthy
            assert "tape torn" in ill.detail
            assert [one.name for one in (await overview.doctor())["archive"]] == ["archive/tape"]
            inside("archive").TROUBLE.clear()
            await caught_up(service)
            assert [one for one in await overview.health() if one.name == "archive/tape"] == []
    assert ids == inside("archive").TAKEN
    edges = [log["event"] for log in logs if log["event"].startswith("sink.")]
    assert edges == ["sink.waits", "sink.goes_on"]


async def test_a_sink_that_hangs_is_left_behind_with_its_plugin(
    site: Site, load: Callable[..., Any], pipeline: Rig
) -> None:
    site.install("tapes", archive=ALL)
    plugins = load(timeout=0.05)
    service = exporting(pipeline, plugins)
    inside("archive").TROUBLE.append("hang")
    await pipeline.record(2)
    async with running(service):
        await pipeline.delivery.drain()
        await until(lambda: service.standings()["archive/tape"].failures > 1)
    assert not plugins.report("archive").enabled
    assert "disabled" in service.standings()["archive/tape"].problem
    assert pipeline.query("SELECT seq FROM usage_sink_cursors") == [{"seq": 0}]


async def test_without_postgres_a_sink_waits(site: Site, load: Callable[..., Any], pipeline: Rig) -> None:
    site.install("tapes", archive=ALL)
    away = Database(dsn="host=/nowhere dbname=none")
    await away.open()
    plugins = load()
    service = exporting(pipeline, plugins, PostgresSinkLog(database=away, device_id=DEVICE))
    async with running(service):
        await until(lambda: service.standings()["archive/tape"].problem)
    await away.close()
    assert "PostgreSQL is unreachable" in service.standings()["archive/tape"].problem
    assert plugins.report("archive").failures == 0
