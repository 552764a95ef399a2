"""What licensing does by itself: ask when due, notice transitions and resumes, fill the tiers, deliver the edges.

Every loop waits for an event or a short tick, never for the wall clock. Decides nothing; run by ``service``.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tapi_agent.services.licensing.edges import Edges
    from tapi_agent.services.licensing.refresh import Refresher
    from tapi_agent.services.licensing.schedule import Schedule
    from tapi_agent.services.licensing.values import Surroundings
    from tapi_agent.services.licensing.verdicts import Verdicts

_SLEPT: Final = timedelta(seconds=2)
"""CLOCK_BOOTTIME running ahead of CLOCK_MONOTONIC by this much means that the machine was suspended."""
_REST: Final = timedelta(seconds=5)
"""Between two tries to write edges down."""


class Loops:
    """The loops of licensing; setting ``ask_now``, ``keep_now`` or ``tell_now`` spares the next one its wait."""

    def __init__(  # noqa: PLR0913 - all by name
        self,
        around: Surroundings,
        *,
        schedule: Schedule,
        refresher: Refresher,
        verdicts: Verdicts,
        edges: Edges,
        settle: Callable[[], object],
        keep: Callable[[], Awaitable[None]],
        resumed: Callable[[], None],
    ) -> None:
        self._machine = around.machine
        self._tick = around.policy.tick
        self._schedule = schedule
        self._refresher = refresher
        self._verdicts = verdicts
        self._edges = edges
        self._settle, self._keep, self._resumed = settle, keep, resumed
        self.ask_now, self.keep_now, self.tell_now = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._slept = self._sleep_so_far()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for loop in (self._asking, self._watching, self._keeping, self._telling):
                group.create_task(loop(), name=f"licensing {loop.__name__.strip('_')}")

    async def _asking(self) -> None:
        while True:
            await _until(self.ask_now, min(self._tick, self._schedule.wait()))
            due = self._schedule.due()
            if due:
                await self._refresher.round(due)
                self._settle()

    async def _watching(self) -> None:
        while True:
            await asyncio.sleep(self._tick.total_seconds())  # nothing announces that a clock has moved on
            if self._sleep_so_far() - self._slept > _SLEPT:
                self._resumed()
            self._slept = self._sleep_so_far()
            if self._verdicts.due():
                self._settle()

    async def _keeping(self) -> None:
        while True:
            await _until(self.keep_now, self._tick)
            await self._keep()

    async def _telling(self) -> None:
        while True:
            await _until(self.tell_now, _REST)
            if self._edges.waiting:
                await self._edges.deliver()

    def _sleep_so_far(self) -> timedelta:
        return self._machine.boottime() - timedelta(seconds=self._machine.monotonic())


async def _until(event: asyncio.Event, limit: timedelta) -> None:
    """Wait until ``event`` is set, or for ``limit``; clears it."""
    alarm = asyncio.get_running_loop().call_later(limit.total_seconds(), event.set)
    try:
        await event.wait()
    finally:
        alarm.cancel()
    event.clear()
