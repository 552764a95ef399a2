"""Periodic work of plugins: lines of the agent's own schedule, done on the plugin's thread."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.plugins.conftest import inside, until
from tests.unit.plugin.conftest import Site  # noqa: TC002 - for readers

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.jobs.scheduler import JobScheduler
from tapi_agent.jobs.table import Job

if TYPE_CHECKING:
    from collections.abc import Callable

WORKER = """
    import threading
    from datetime import timedelta
    RUNS = []

    def sweep():
        RUNS.append(threading.current_thread().name)

    def stumble():
        raise OSError("no broom")

    @hookimpl
    def register_jobs():
        return [
            Job(name="sweep", every=timedelta(hours=1), run=sweep),
            Job(name="stumble", every=timedelta(hours=1), run=stumble),
        ]
"""


async def test_a_job_runs_on_the_plugin_s_thread(site: Site, load: Callable[..., Any]) -> None:
    site.install("workers", worker=WORKER)
    calls = load().calls
    assert [(job.plugin, job.name) for job in calls.jobs()] == [("worker", "sweep"), ("worker", "stumble")]
    await calls.work("worker", "sweep")
    await calls.work("worker", "gone")
    await calls.work("nobody", "sweep")
    assert inside("worker").RUNS == ["plugin-worker"]


async def test_failures_of_a_job_are_counted_and_disable_the_plugin(site: Site, load: Callable[..., Any]) -> None:
    site.install("workers", worker=WORKER)
    plugins = load()
    for _ in range(4):
        await plugins.calls.work("worker", "stumble")
    report = plugins.report("worker")
    assert (report.enabled, report.failures) == (False, 3)
    assert "no broom" in report.error
    assert plugins.calls.jobs() == []
    await plugins.calls.work("worker", "sweep")
    assert inside("worker").RUNS == []


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        ("register_jobs(): return [Job(name='Big sweep', every=timedelta(hours=1), run=print)]", "'Big sweep'"),
        ("register_jobs(): return [Job(name='', every=timedelta(hours=1), run=print)]", "no name for a job"),
        ("register_jobs(): return [Job(name='a', every=timedelta(milliseconds=999), run=print)]", "at least 1 s"),
        ("register_jobs(): return [Job(name='a', every=timedelta(hours=1), run=print)] * 2", "two jobs a"),
        ("register_meters(): return [Meter(key='a', unit='b', every=timedelta(0))]", "at least 1 s"),
        ("usage_sink(): return type('S', (), {'name': '../x', 'send': print})()", "no name for a sink"),
        ("usage_sink(): return type('S', (), {'name': 7, 'send': print})()", "no name for a sink"),
    ],
    ids=["bad name", "no name", "too often", "twice", "asked too often", "bad sink", "no sink"],
)
async def test_what_cannot_be_scheduled_disables_the_plugin(
    site: Site, load: Callable[..., Any], hook: str, problem: str
) -> None:
    site.install("workers", worker=f"from datetime import timedelta\n@hookimpl\ndef {hook}\n")
    plugins = load()
    report = plugins.report("worker")
    assert not report.enabled
    assert problem in report.error
    assert plugins.calls.jobs() == []


async def test_jobs_join_a_schedule_that_runs() -> None:
    runs: list[str] = []

    def job(name: str, *, mark: str, interval: timedelta = timedelta(hours=1)) -> Job:
        async def verb() -> None:
            runs.append(mark)

        return Job(name=name, verb=verb, interval=interval)

    scheduler = JobScheduler([job("old", mark="old")], clock=SystemClock())
    scheduler.start()
    try:
        await until(lambda: runs == ["old"])
        scheduler.add([job("old", mark="unchanged"), job("new", mark="new")])
        await until(lambda: runs == ["old", "new"])
        scheduler.add([job("old", mark="changed", interval=timedelta(hours=2))])
        await until(lambda: runs == ["old", "new", "changed"])
        scheduler.reschedule()
        await until(lambda: len(runs) == 5)
    finally:
        scheduler.stop()
    assert sorted(runs[3:]) == ["changed", "new"]
