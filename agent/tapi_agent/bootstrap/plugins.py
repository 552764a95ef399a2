"""What plugins do with usage and time: collecting, telling, exporting, their own jobs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tapi_agent.adapters.files import FileCollected
from tapi_agent.adapters.postgres.sinks import PostgresSinkLog
from tapi_agent.jobs.table import Job
from tapi_agent.plugin.calls import HookCalls
from tapi_agent.services.connectivity import POSTGRES
from tapi_agent.services.plugins import Collecting, Exporting, Overview, Telling
from tapi_agent.services.plugins.collecting import LOOK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tapi_agent.bootstrap.core import Core, Tasks
    from tapi_agent.bootstrap.stores import Stores
    from tapi_agent.bootstrap.usage import Usage
    from tapi_agent.plugin.host import PluginHost
    from tapi_agent.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginWork:
    """The tasks of the daemon, the lines of its schedule, and how plugins fare (``overview``).

    ``adopt`` is called after plugins were loaded anew; what it returns goes to the running ``JobScheduler.add``.
    """

    tasks: Tasks
    jobs: Sequence[Job]
    adopt: Callable[[], Sequence[Job]]
    overview: Overview


def plugin_work(settings: Settings, core: Core, stores: Stores, metered: Usage, host: PluginHost) -> PluginWork:
    """All of it, for the plugins that ``host`` has loaded; listens to metering, delivery and PostgreSQL."""
    calls = HookCalls(host, monotonic=core.machine.monotonic, timeout=settings.plugin_timeout)
    telling = Telling(calls)
    exporting = _exporting(core, stores, metered, calls)
    collecting = Collecting(
        samplers=calls,
        metering=metered.metering,
        spool=metered.spool,
        store=FileCollected(settings.tapi_state_dir / "collected.json"),
        clock=core.clock,
    )
    metered.metering.on_recorded(telling.recorded)
    metered.delivery.on_delivered(telling.delivered)

    def adopt() -> Sequence[Job]:
        telling.adopt()
        exporting.adopt()
        return _jobs(calls)

    return PluginWork(
        tasks={"plugin events": telling.run, "plugin sinks": exporting.run},
        jobs=[Job(name="usage-collect", verb=collecting.collect, interval=LOOK), *_jobs(calls)],
        adopt=adopt,
        overview=Overview(plugins=host, telling=telling, exporting=exporting),
    )


def _exporting(core: Core, stores: Stores, metered: Usage, calls: HookCalls) -> Exporting:
    exporting = Exporting(
        sinks=calls,
        log=PostgresSinkLog(database=stores.database, device_id=core.subject.device_id),
        spool=metered.spool,
        entropy=os.urandom,
    )
    metered.delivery.on_drained(exporting.drained)
    core.connectivity.on_recovery(POSTGRES, exporting.wake)
    return exporting


def _jobs(calls: HookCalls) -> list[Job]:
    """A line for each job of a plugin. The first run comes after its interval, as after every other run."""
    return [
        Job(
            name=f"plugin/{job.plugin}/{job.name}",
            verb=partial(calls.work, job.plugin, job.name),
            interval=job.every,
            first=job.every,
        )
        for job in calls.jobs()
    ]
