"""Licensing as the rest of the agent sees it: puts the parts together and runs their loops.

The daemon runs ``start``, ``run`` and ``stop``; the API asks ``view``, ``device`` and ``validate``; jobs call
``refresh``. Every loop waits for an event or a short tick, never for the wall clock.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import telemetry
from tapi_agent.services.connectivity import BILLING, POSTGRES
from tapi_agent.services.licensing.contacts import Contacts
from tapi_agent.services.licensing.edges import Edges
from tapi_agent.services.licensing.refresh import Refresher
from tapi_agent.services.licensing.registry import Registry
from tapi_agent.services.licensing.schedule import Schedule
from tapi_agent.services.licensing.store import EvidenceStore
from tapi_agent.services.licensing.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Camera
    from tapi_agent.ports.licenses import EvidenceSealer, EvidenceTier, LicenseLog, Roster
    from tapi_agent.ports.publisher import Publisher
    from tapi_agent.services.licensing.values import DeviceLicense, LicenseView, RefreshRound, Surroundings

log = structlog.get_logger(__name__)

_SLEPT: Final = timedelta(seconds=2)
"""CLOCK_BOOTTIME running ahead of CLOCK_MONOTONIC by this much means that the machine was suspended."""
_REST: Final = timedelta(seconds=5)
"""Between two tries to write edges down."""


class Licensing:
    """The licenses of all cameras of one device. ``tiers``: the local file first."""

    def __init__(
        self,
        *,
        around: Surroundings,
        tiers: Sequence[EvidenceTier],
        sealer: EvidenceSealer,
        roster: Roster,
        edge_log: LicenseLog,
        publisher: Publisher,
    ) -> None:
        self._around = around
        self._contacts = Contacts(around)
        self._schedule = Schedule(around)
        self._store = EvidenceStore(around, tiers=tiers, sealer=sealer)
        self._verdicts = Verdicts(around, store=self._store, contacts=self._contacts)
        self._registry = Registry(
            around, roster=roster, verdicts=self._verdicts, schedule=self._schedule, contacts=self._contacts
        )
        self._edges = Edges(
            edge_log=edge_log, publisher=publisher, connectivity=around.connectivity, written=self._note_written
        )
        self._refresher = Refresher(
            around,
            store=self._store,
            contacts=self._contacts,
            schedule=self._schedule,
            verdicts=self._verdicts,
            heard=self._settle,
        )
        self._listeners: list[Callable[[], None]] = []
        self._told = 0
        self._ask_now, self._keep_now, self._tell_now = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._slept = self._sleep_so_far()
        self.started = False

    async def start(self) -> None:
        """Know what was known before: cameras and their evidence, from every tier that answers within a second."""
        has_roster = await self._registry.load()
        await self._store.start()
        if not has_roster:
            for camera_id, _ in list(self._store.cameras()):
                self.register(camera_id)
        self._around.connectivity.on_recovery(BILLING, self._hurry)
        self._around.connectivity.on_recovery(POSTGRES, self._tell_now.set)
        self._settle()
        self._count_states()
        self.started = True

    async def run(self) -> None:
        """Until cancelled: ask when due, notice transitions when they come, fill the tiers, deliver the edges."""
        async with asyncio.TaskGroup() as group:
            for loop in (self._asking, self._watching, self._keeping, self._telling):
                group.create_task(loop(), name=f"licensing {loop.__name__.strip('_')}")

    async def stop(self) -> None:
        """Give up requests under way; write down what is known."""
        await self._refresher.stop()
        await self._keep()
        await self._edges.deliver()

    @property
    def generation(self) -> int:
        """Rises whenever any standing, any evidence or the list of cameras changes."""
        return self._verdicts.generation

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever ``generation`` has risen."""
        self._listeners.append(callback)

    def on_news(self, callback: Callable[[CameraId], None]) -> None:
        """Call ``callback`` with every camera about which the service says anything else than before."""
        self._refresher.on_news(callback)

    def cameras(self) -> Sequence[CameraId]:
        """All cameras, in the order of their registration."""
        return self._verdicts.cameras()

    def register(self, camera_id: CameraId) -> None:
        """Take up a camera, to be asked for at once; known ones are left as they are. Raises ``InvalidInputError``."""
        if self._registry.register(camera_id):
            self._settle([camera_id])
            self._count_states()
            self._ask_now.set()

    def take_up(self, registrations: Mapping[CameraId, datetime]) -> None:
        """Cameras that were registered before, and when: of two registrations of one camera the earlier counts.

        What cannot be registered is left out.
        """
        if self._registry.take_up(registrations):
            self._settle()
            self._count_states()
            self._ask_now.set()

    async def unregister(self, camera_id: CameraId) -> bool:
        """Forget a camera; whether it was known. Its place under the camera limit is free from now on.

        Returns when the roster without it is on disk. Its evidence stays, for the case that it is registered again.
        """
        if not self._registry.remove(camera_id):
            return False
        self._settle()
        self._count_states()
        await self._registry.keep()
        return True

    def roster(self) -> Sequence[Camera]:
        """All cameras with the time of their registration, in its order."""
        return self._verdicts.roster()

    def check(self, camera_id: CameraId) -> None:
        """Raise ``InvalidInputError`` if ``register`` would."""
        self._verdicts.check(camera_id)

    def view(self, camera_id: CameraId) -> LicenseView:
        """How a camera stands, as last derived; ``CameraId("")`` is the tenant."""
        return self._verdicts.view(camera_id)

    def device(self) -> DeviceLicense:
        """How the device stands: as its worst camera."""
        return self._verdicts.device()

    async def validate(self, camera_id: CameraId, *, wait: timedelta = timedelta(0)) -> LicenseView:
        """How a camera stands: what is known, at once, or after at most ``wait`` what the service says now.

        A camera not seen before is registered.
        """
        self.register(camera_id)
        asks = wait > timedelta(0) and self._schedule.may_ask()
        if asks:
            await self._refresher.ask(camera_id, wait=wait)
        telemetry.CACHE_HITS.labels(tier=BILLING if asks else "memory").inc()
        return self.view(camera_id)

    async def refresh(self) -> RefreshRound:
        """Ask for every camera now, due or not; for none while the service has asked for quiet, or when air-gapped."""
        return await self._round(self.cameras() if self._schedule.may_ask() else [])

    def refresh_due(self) -> timedelta:
        """Time until a camera is due to be asked for; ``timedelta.max`` when nothing ever is."""
        return self._schedule.wait()

    async def reevaluate(self) -> Sequence[LicenseChanged]:
        """Derive every state anew and announce what has changed; may be called after anything, any number of times."""
        changes = self._settle()
        await self._edges.deliver()
        return changes

    def ask_again(self) -> None:
        """Ask for every camera at once, due or not, unless the service has asked for quiet."""
        self._schedule.all_due()
        self._ask_now.set()

    def resumed(self) -> None:
        """After resume or a clock change: what was true of the link may not be, so silence is given its time again."""
        self._contacts.restart()
        self.ask_again()
        self._settle()

    async def _asking(self) -> None:
        while True:
            await _until(self._ask_now, min(self._around.policy.tick, self._schedule.wait()))
            due = self._schedule.due()
            if due:
                await self._refresher.round(due)
                self._settle()

    async def _watching(self) -> None:
        while True:
            await asyncio.sleep(self._around.policy.tick.total_seconds())  # nothing announces that a clock has moved on
            if self._sleep_so_far() - self._slept > _SLEPT:
                self.resumed()
            self._slept = self._sleep_so_far()
            if self._verdicts.due():
                self._settle()

    async def _keeping(self) -> None:
        while True:
            await _until(self._keep_now, self._around.policy.tick)
            await self._keep()

    async def _telling(self) -> None:
        while True:
            await _until(self._tell_now, _REST)
            if self._edges.waiting:
                await self._edges.deliver()

    async def _round(self, camera_ids: Sequence[CameraId]) -> RefreshRound:
        done = await self._refresher.round(camera_ids)
        await self.reevaluate()
        return done

    async def _keep(self) -> None:
        if await self._store.keep():
            self._settle()
        await self._registry.keep()

    def _settle(self, camera_ids: Iterable[CameraId] | None = None) -> Sequence[LicenseChanged]:
        changes = self._verdicts.settle(camera_ids)
        if changes:
            self._edges.add(changes)
            self._keep_now.set()
            self._tell_now.set()
            self._count_states()
        if self.generation != self._told:
            self._told = self.generation
            for listener in self._listeners:
                listener()
        return changes

    def _count_states(self) -> None:
        for state, count in self._verdicts.counts().items():
            telemetry.LICENSE_CAMERAS.labels(state=state).set(count)

    def _hurry(self) -> None:
        self._schedule.hurry()
        self._ask_now.set()

    def _note_written(self, changes: Iterable[LicenseChanged]) -> None:
        self._verdicts.written(changes)
        self._registry.touch()

    def _sleep_so_far(self) -> timedelta:
        machine = self._around.machine
        return machine.boottime() - timedelta(seconds=machine.monotonic())


async def _until(event: asyncio.Event, limit: timedelta) -> None:
    """Wait until ``event`` is set, or for ``limit``; clears it."""
    alarm = asyncio.get_running_loop().call_later(limit.total_seconds(), event.set)
    try:
        await event.wait()
    finally:
        alarm.cancel()
    event.clear()
