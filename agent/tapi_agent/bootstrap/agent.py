"""The agent: services on top of core and stores, the schedule, the API."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent import telemetry
from tapi_agent.api.app import create_app
from tapi_agent.api.context import Context
from tapi_agent.api.peer import level_table
from tapi_agent.bootstrap.caching import caching
from tapi_agent.bootstrap.cameras import cameras
from tapi_agent.bootstrap.core import VERSION, Core, core
from tapi_agent.bootstrap.costs import costs
from tapi_agent.bootstrap.doors import doors
from tapi_agent.bootstrap.entitlements import deciding
from tapi_agent.bootstrap.licensing import licensing as license_holder
from tapi_agent.bootstrap.maintenance import maintenance_jobs
from tapi_agent.bootstrap.neighbors import neighbors
from tapi_agent.bootstrap.plugins import plugin_work
from tapi_agent.bootstrap.proof import proof
from tapi_agent.bootstrap.records import recorders
from tapi_agent.bootstrap.stores import Stores, stores, watches
from tapi_agent.bootstrap.usage import Usage, switched, usage
from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.domain.ids import CameraId
from tapi_agent.jobs.scheduler import JobScheduler
from tapi_agent.jobs.table import Job
from tapi_agent.plugin.host import PluginHost
from tapi_agent.services.doctor import Doctor
from tapi_agent.services.heartbeat import Heartbeat
from tapi_agent.services.licensing.reminder import Reminder

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from tapi_agent.bootstrap.core import Tasks
    from tapi_agent.bootstrap.entitlements import Deciding
    from tapi_agent.bootstrap.plugins import PluginWork
    from tapi_agent.services.cameras import Cameras
    from tapi_agent.services.health import StoreWatch
    from tapi_agent.services.licensing import Licensing
    from tapi_agent.services.overrides import Overrides
    from tapi_agent.services.quotas import Quotas
    from tapi_agent.settings import Settings

_MARK_EVERY: Final = timedelta(seconds=30)
_LOOK_FOR_MARKS: Final = timedelta(seconds=2)
_EVALUATE_EVERY: Final = timedelta(seconds=10)
_REMIND_EVERY: Final = timedelta(hours=1)
_COMPARE_CAMERAS: Final = timedelta(seconds=10)
_LOOK_FOR_USAGE: Final = timedelta(seconds=15)
_MEASURE_USAGE: Final = timedelta(seconds=30)
_LOOK_FOR_SPACE: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Everything that runs, wired and not yet started; the daemon gives it life."""

    app: ASGIApp
    sockets: Sequence[socket.socket]
    cameras: Sequence[CameraId]
    core: Core
    stores: Stores
    licensing: Licensing
    usage: Usage
    quotas: Quotas
    overrides: Overrides
    plugins: PluginHost
    reload: Callable[[], Awaitable[object]]
    scheduler: JobScheduler
    watches: Mapping[str, StoreWatch]
    tasks: Tasks


def assemble(settings: Settings) -> Agent:
    """The agent for these settings. Needs a running event loop; asks nobody. Raises ``ConfigurationError``."""
    _make_state_directory(settings.tapi_state_dir)
    chosen = stores(settings)
    base = core(settings, chosen.database)
    plugins = _plugin_host(settings)
    declarations = plugins.load()
    licensing = license_holder(settings, base, chosen, plugins)
    cached = caching(base, chosen)
    site = cameras(base, chosen, cached, licensing)
    metered = usage(settings, base, chosen, declarations.meters)
    heartbeat = _heartbeat(settings, base, licensing)
    decided = deciding(settings, base, chosen, metered, licensing, declarations)
    work = plugin_work(settings, base, chosen, metered, plugins)
    jobs = _jobs(settings, base, licensing, site, metered, heartbeat)
    jobs += [*maintenance_jobs(settings, base, chosen, metered), *work.jobs]
    scheduler = JobScheduler(jobs, clock=base.machine)
    _follow(plugins, settings, metered, decided, work, scheduler)
    telemetry.POSTGRES_POOL.watch(chosen.database.statistics)
    opened = doors(settings)
    problems = (*settings.problems, *settings.unknown, *opened.troubles)
    context = Context(
        version=VERSION,
        device_id=base.subject.device_id,
        tenant_id=base.subject.tenant_id,
        licensing=licensing,
        entitlements=decided.entitlements,
        metering=metered.metering,
        delivery=metered.delivery,
        proof=proof(settings, base, chosen, metered),
        space=metered.space,
        losses=metered.losses,
        quotas=decided.quotas,
        costs=costs(settings, licensing, decided.entitlements, decided.quotas),
        cameras=site,
        connectivity=base.connectivity,
        heartbeat=heartbeat,
        clock=base.clock,
        plugins=work.overview.report,
        reload=plugins.reload,
        doctor=Doctor(
            plugins=work.overview,
            connectivity=base.connectivity,
            clock=base.clock,
            space=metered.space,
            losses=metered.losses,
            backlog=metered.delivery.backlog,
            unknown_packs=decided.entitlements.unknown_packs,
            problems=problems,
        ),
        problems=problems,
        token=opened.token,
        cors=settings.api_enable_cors,
        levels=level_table(socket_group=settings.tapi_socket_group),
    )
    return Agent(
        app=create_app(context),
        sockets=opened.sockets,
        cameras=[CameraId(name) for name in settings.camera_ids],
        core=base,
        stores=chosen,
        licensing=licensing,
        usage=metered,
        quotas=decided.quotas,
        overrides=decided.overrides,
        plugins=plugins,
        reload=plugins.reload,
        scheduler=scheduler,
        watches=watches(chosen, base.connectivity),
        tasks={
            **recorders(settings, base, chosen, licensing, decided, heartbeat),
            **neighbors(base, cached, licensing),
            **work.tasks,
            "quotas": decided.quotas.run,
            "overrides": decided.overrides.run,
        },
    )


def _plugin_host(settings: Settings) -> PluginHost:
    """The host of the plugins that are installed; none is loaded yet."""
    return PluginHost(disabled=settings.plugins_disabled, trace=settings.plugin_trace, timeout=settings.plugin_timeout)


def _follow(
    plugins: PluginHost,
    settings: Settings,
    metered: Usage,
    decided: Deciding,
    work: PluginWork,
    scheduler: JobScheduler,
) -> None:
    """Whatever plugins come later: who learns of it, the meters first, since quotas and features speak of them."""
    plugins.on_reload(lambda came: metered.metering.adopt(switched(came.meters, settings)))
    plugins.on_reload(decided.adopt)
    plugins.on_reload(lambda _came: scheduler.add(work.adopt()))


def _make_state_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the state directory {path}: {error.strerror}",
            fix="point TAPI_STATE_DIR at a directory that the agent's user can write",
        ) from error


def _heartbeat(settings: Settings, core: Core, licensing: Licensing) -> Heartbeat:
    return Heartbeat(
        billing=core.billing,
        connectivity=core.connectivity,
        tenant_id=core.subject.tenant_id,
        tier=settings.management_tier,
        cameras=licensing.cameras,
        interval=settings.heartbeat_interval,
        entropy=os.urandom,
    )


def _jobs(
    settings: Settings, core: Core, licensing: Licensing, site: Cameras, metered: Usage, heartbeat: Heartbeat
) -> list[Job]:
    """The schedule. What waits for an event instead of a time is a task of the daemon."""
    look = min(_LOOK_FOR_USAGE, settings.usage_sync_interval / 4)
    jobs = [
        Job(name="license-evaluate", verb=licensing.reevaluate, interval=_EVALUATE_EVERY),
        Job(name="grace-reminder", verb=Reminder(licensing, core.machine).remind, interval=_REMIND_EVERY),
        Job(name="clock-mark", verb=core.clock.persist, interval=_MARK_EVERY),
        Job(name="clock-merge", verb=core.clock.consult, interval=_LOOK_FOR_MARKS),
        Job(name="billing-probe", verb=core.connectivity.probe_billing, interval=settings.connectivity_probe),
        Job(name="camera-sync", verb=site.reconcile, interval=_COMPARE_CAMERAS),
        Job(name="usage-sync", verb=metered.delivery.sync_if_due, interval=look),
        Job(name="usage-backlog", verb=metered.delivery.measure, interval=_MEASURE_USAGE),
        Job(name="space", verb=metered.space.look, interval=_LOOK_FOR_SPACE),
    ]
    if settings.enable_heartbeat:
        jobs.append(Job(name="heartbeat", verb=heartbeat.beat, interval=settings.heartbeat_interval))
    return jobs
