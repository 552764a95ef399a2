"""The life of the process: the order of starting, one TaskGroup of named tasks, signals, readiness, a graceful stop."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import collector, telemetry
from tapi_agent.adapters.systemd import Notifier, watchdog_interval
from tapi_agent.api.server import LocalServer
from tapi_agent.bootstrap import assemble
from tapi_agent.domain.errors import TapiError
from tapi_agent.services.connectivity import BILLING, POSTGRES
from tapi_agent.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tapi_agent.bootstrap import Agent
    from tapi_agent.settings import Settings

    Task = Callable[[], Coroutine[object, object, object]]

log = structlog.get_logger(__name__)

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def run() -> None:
    """Run the agent of this process's environment until SIGTERM or SIGINT. Raises ``ConfigurationError``."""
    faulthandler.enable()
    settings = load()
    telemetry.configure(settings.level, file=_log_file(settings))
    collector.spare()
    for problem in (*settings.problems, *settings.unknown):
        log.warning("settings.problem", problem=problem)
    asyncio.run(_live_until_signaled(settings))


def _log_file(settings: Settings) -> telemetry.LogFile | None:
    if not settings.log_to_file:
        return None
    size = settings.log_max_file_size_mb * 1024 * 1024
    return telemetry.LogFile(path=settings.log_path, max_bytes=size, backups=settings.log_max_files)


async def _live_until_signaled(settings: Settings) -> None:
    stopping, reloading = asyncio.Event(), asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    if not sys.stdin or not sys.stdin.isatty():  # else it says that the terminal is gone, and the agent goes with it
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloading.set)
    await live(settings, stopping, reloading)


async def live(settings: Settings, stopping: asyncio.Event, reloading: asyncio.Event | None = None) -> None:
    """One agent's life, until ``stopping`` is set; ``reloading`` has it load its plugins anew.

    Needs no signals: ``testing`` lives one in a thread.
    """
    # A hung name look-up occupies its thread for a minute; the few threads asyncio takes by default would soon be gone.
    threads = ThreadPoolExecutor(settings.api_threads, thread_name_prefix="blocking")
    asyncio.get_running_loop().set_default_executor(threads)
    agent, notifier = assemble(settings), Notifier(os.environ)
    # First of all: from here on the state directory, engines included, is this process's alone.
    await agent.usage.spool.open()
    try:
        await _start(agent)
        await _work(agent, notifier, stopping, reloading or asyncio.Event())
    finally:
        notifier.stopping()
        await _stop(agent)
        log.info("agent.stopped")


async def _start(agent: Agent) -> None:
    """What must be known before the first answer; waits for no other process.

    The local evidence file decides; Redis and PostgreSQL are read as soon as they answer, which may be a second later.
    """
    await agent.core.clock.start()
    await agent.usage.losses.start()
    await agent.licensing.start()
    await agent.overrides.start()
    for camera in agent.cameras:
        agent.licensing.register(camera)
    await agent.stores.database.open()
    for dependency in (BILLING, POSTGRES):
        agent.core.connectivity.on_recovery(dependency, agent.usage.delivery.wake)
    agent.scheduler.start()


async def _work(agent: Agent, notifier: Notifier, stopping: asyncio.Event, reloading: asyncio.Event) -> None:
    """Serve until told to stop. A task that ends by itself is a bug: all end, and systemd starts afresh."""
    server = LocalServer(agent.app)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(sockets=list(agent.sockets)), name="api")
        tasks = [group.create_task(_endless(name, task), name=name) for name, task in _tasks(agent).items()]
        tasks.append(group.create_task(_tell_systemd(server, notifier), name="notify"))
        tasks.append(group.create_task(_reload_when_told(agent, notifier, reloading), name="reload"))
        await stopping.wait()
        log.info("agent.stopping")
        server.should_exit = True
        await serving
        for task in tasks:
            task.cancel()


def _tasks(agent: Agent) -> dict[str, Task]:
    return {
        "licensing": agent.licensing.run,
        "usage": agent.usage.delivery.run,
        "clock watch": lambda: agent.scheduler.watch_clock(lambda _step: agent.licensing.resumed()),
        **agent.tasks,
        **{f"{name} watch": watch.run for name, watch in agent.watches.items()},
        **{f"{engine.name} engine": engine.supervise for engine in agent.stores.engines},
    }


async def _endless(name: str, task: Task) -> None:
    await task()
    raise RuntimeError(f"task {name} ended by itself")


async def _reload_when_told(agent: Agent, notifier: Notifier, reloading: asyncio.Event) -> None:
    while await reloading.wait():
        reloading.clear()
        notifier.reloading(agent.core.machine.monotonic())
        try:
            await agent.reload()
        except TapiError as error:
            log.exception("agent.reload_failed", fix=error.fix)
        else:
            log.info("agent.reloaded")
        notifier.ready("answering")


async def _tell_systemd(server: LocalServer, notifier: Notifier) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn offers a flag, not an event
        await asyncio.sleep(0.01)
    notifier.ready("answering")
    log.info("agent.ready")
    interval = watchdog_interval(os.environ)
    while interval is not None:
        notifier.alive()
        await asyncio.sleep(interval.total_seconds())


async def _stop(agent: Agent) -> None:
    """Write down what is known, then close, the stores last; one that will not close keeps none of the others open."""
    async with AsyncExitStack() as closing:
        closing.callback(agent.plugins.close)
        for engine in agent.stores.engines:
            closing.push_async_callback(engine.stop)
        closing.push_async_callback(agent.stores.database.close)
        closing.push_async_callback(agent.stores.cache.close)
        closing.push_async_callback(agent.core.billing.close)
        closing.push_async_callback(agent.usage.losses.write_down)
        closing.push_async_callback(agent.usage.spool.close)
        closing.push_async_callback(agent.usage.delivery.close)
        closing.push_async_callback(agent.quotas.close)
        closing.push_async_callback(agent.core.clock.persist)
        closing.push_async_callback(agent.licensing.stop)
        closing.callback(agent.scheduler.stop)
