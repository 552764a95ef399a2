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
from tapi_agent.bootstrap.doors import doors
from tapi_agent.bootstrap.licensing import licensing as license_holder
from tapi_agent.bootstrap.maintenance import maintenance_jobs
from tapi_agent.bootstrap.neighbors import neighbors
from tapi_agent.bootstrap.records import recorders
from tapi_agent.bootstrap.stores import Stores, stores, watches
from tapi_agent.bootstrap.usage import Usage, usage
from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.domain.ids import CameraId
from tapi_agent.jobs.scheduler import JobScheduler
from tapi_agent.jobs.table import Job
from tapi_agent.plugin.host import PluginHost
from tapi_agent.services.entitlements import Entitlements
from tapi_agent.services.heartbeat import Heartbeat
from tapi_agent.services.licensing.reminder import Reminder

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from tapi_agent.bootstrap.core import Tasks
    from tapi_agent.services.cameras import Cameras
    from tapi_agent.services.delivery import Delivery
    from tapi_agent.services.health import StoreWatch
    from tapi_agent.services.licensing import Licensing
    from tapi_agent.settings import Settings

_MARK_EVERY: Final = timedelta(seconds=30)
_LOOK_FOR_MARKS: Final = timedelta(seconds=2)
_EVALUATE_EVERY: Final = timedelta(seconds=10)
_REMIND_EVERY: Final = timedelta(hours=1)
_COMPARE_CAMERAS: Final = timedelta(seconds=10)
_LOOK_FOR_USAGE: Final = timedelta(seconds=15)


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
    plugins: PluginHost
    scheduler: JobScheduler
    watches: Mapping[str, StoreWatch]
    tasks: Tasks


def assemble(settings: Settings) -> Agent:
    """The agent for these settings. Needs a running event loop; asks nobody. Raises ``ConfigurationError``."""
    _make_state_directory(settings.tapi_state_dir)
    chosen = stores(settings)
    base = core(settings, chosen.database)
    plugins = PluginHost(disabled=settings.plugins_disabled, timeout=settings.plugin_timeout)
    declarations = plugins.load()
    licensing = license_holder(settings, base, chosen, plugins)
    cached = caching(base, chosen)
    site = cameras(base, chosen, cached, licensing)
    metered = usage(settings, base, chosen, declarations.meters)
    heartbeat = _heartbeat(settings, base, licensing)
    entitlements = Entitlements(
        catalog=declarations.catalog,
        licensing=licensing,
        clock=base.clock,
        monotonic=base.machine.monotonic,
        tiers=settings.mode_tiers,
    )
    jobs = _jobs(settings, base, licensing, site, metered.delivery, heartbeat)
    jobs += maintenance_jobs(settings, base, chosen, metered.spool)
    telemetry.POSTGRES_POOL.watch(chosen.database.statistics)
    opened = doors(settings)
    context = Context(
        version=VERSION,
        device_id=base.subject.device_id,
        tenant_id=base.subject.tenant_id,
        licensing=licensing,
        entitlements=entitlements,
        metering=metered.metering,
        delivery=metered.delivery,
        cameras=site,
        connectivity=base.connectivity,
        heartbeat=heartbeat,
        clock=base.clock,
        plugins=plugins.report,
        problems=(*settings.problems, *settings.unknown, *opened.troubles),
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
        plugins=plugins,
        scheduler=JobScheduler(jobs, clock=base.machine),
        watches=watches(chosen, base.connectivity),
        tasks={
            **recorders(settings, base, chosen, licensing, entitlements, heartbeat),
            **neighbors(base, cached, licensing),
        },
    )


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
    settings: Settings, core: Core, licensing: Licensing, site: Cameras, delivery: Delivery, heartbeat: Heartbeat
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
        Job(name="usage-sync", verb=delivery.sync_if_due, interval=look),
    ]
    if settings.enable_heartbeat:
        jobs.append(Job(name="heartbeat", verb=heartbeat.beat, interval=settings.heartbeat_interval))
    return jobs
