"""Licensing as the rest of the agent sees it: puts the parts together.

The daemon runs ``start``, ``run`` and ``stop``; the API asks ``view``, ``device`` and ``validate``; jobs call
``refresh``. What it does by itself is in ``loops``.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tapi_agent import telemetry
from tapi_agent.domain.ids import TENANT
from tapi_agent.services.connectivity import BILLING, POSTGRES
from tapi_agent.services.licensing.contacts import Contacts
from tapi_agent.services.licensing.edges import Edges
from tapi_agent.services.licensing.hearing import Hearing
from tapi_agent.services.licensing.imports import Importer
from tapi_agent.services.licensing.loops import Loops
from tapi_agent.services.licensing.questions import Questions
from tapi_agent.services.licensing.refresh import Refresher
from tapi_agent.services.licensing.registry import Registry
from tapi_agent.services.licensing.requests import Requests
from tapi_agent.services.licensing.schedule import Schedule
from tapi_agent.services.licensing.store import EvidenceStore
from tapi_agent.services.licensing.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Camera
    from tapi_agent.ports.licenses import EvidenceSealer, EvidenceTier, LicenseLog, RequestStore, Roster
    from tapi_agent.ports.publisher import Publisher
    from tapi_agent.services.licensing.imports import ImportReport
    from tapi_agent.services.licensing.requests import LicenseRequest
    from tapi_agent.services.licensing.values import DeviceLicense, LicenseView, RefreshRound, Surroundings


class Licensing:
    """The licenses of all cameras of one device. ``tiers``: the local file first."""

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        around: Surroundings,
        tiers: Sequence[EvidenceTier],
        sealer: EvidenceSealer,
        roster: Roster,
        requests: RequestStore,
        edge_log: LicenseLog,
        publisher: Publisher,
    ) -> None:
        self._around = around
        self._contacts = Contacts(around)
        self._schedule = Schedule(around)
        self._store = EvidenceStore(around, tiers=tiers, sealer=sealer)
        self._verdicts = Verdicts(around, store=self._store, contacts=self._contacts)
        self._edges = Edges(
            edge_log=edge_log,
            publisher=publisher,
            connectivity=around.connectivity,
            secure=lambda: self._registry.keep(),  # noqa: PLW0108 - there is no registry yet
            written=lambda: self._registry.touch(),  # noqa: PLW0108
        )
        self._registry = Registry(
            around,
            roster=roster,
            edges=self._edges,
            verdicts=self._verdicts,
            schedule=self._schedule,
            contacts=self._contacts,
        )
        self._hearing = Hearing(
            around,
            store=self._store,
            contacts=self._contacts,
            schedule=self._schedule,
            verdicts=self._verdicts,
        )
        self._refresher = Refresher(
            around, hearing=self._hearing, schedule=self._schedule, verdicts=self._verdicts, heard=self._settle
        )
        self.questions = Questions(around, verdicts=self._verdicts, contacts=self._contacts, edge_log=edge_log)
        self._requests = Requests(around, kept=requests)
        self._importer = Importer(
            around, store=self._store, requests=self._requests, verdicts=self._verdicts, settle=self._settle
        )
        self._rounds: set[asyncio.Task[RefreshRound]] = set()
        self._listeners: list[Callable[[], None]] = []
        self._told = 0
        self._loops = Loops(
            around,
            schedule=self._schedule,
            refresher=self._refresher,
            verdicts=self._verdicts,
            edges=self._edges,
            settle=self._settle,
            keep=self._keep,
            resumed=self.resumed,
        )
        self.started = False

    async def start(self) -> None:
        """Know what was known before: cameras and their evidence, from every tier that answers within a second."""
        has_roster = await self._registry.load()
        await self._store.start()
        await self._requests.load()
        if not has_roster:
            for camera_id, _ in list(self._store.cameras()):
                self.register(camera_id)
        self._follow_tenant()
        self._around.connectivity.on_recovery(BILLING, self._hurry)
        self._around.connectivity.on_recovery(POSTGRES, self._loops.tell_now.set)
        self._settle()
        self._count_states()
        self.started = True

    async def run(self) -> None:
        """Until cancelled: ask when due, notice transitions when they come, fill the tiers, deliver the edges."""
        await self._loops.run()

    async def stop(self) -> None:
        """Give up requests under way; write down what is known."""
        await self._refresher.stop()
        await asyncio.gather(*self._rounds, return_exceptions=True)
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
        self._hearing.on_news(callback)

    def cameras(self) -> Sequence[CameraId]:
        """All cameras, in the order of their registration."""
        return self._verdicts.cameras()

    def register(self, camera_id: CameraId) -> None:
        """Take up a camera, to be asked for at once; known ones are left as they are. Raises ``InvalidInputError``."""
        if self._registry.register(camera_id):
            self._settle([camera_id])
            self._count_states()
            self._loops.ask_now.set()

    def take_up(self, registrations: Mapping[CameraId, datetime]) -> None:
        """Cameras that were registered before, and when: of two registrations of one camera the earlier counts.

        What cannot be registered is left out.
        """
        if self._registry.take_up(registrations):
            self._settle()
            self._count_states()
            self._loops.ask_now.set()

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
        return replace(
            self._verdicts.device(),
            open_request=self._requests.open,
            drifted=self._store.drifted(),
            trusted_keys=self._around.leases.key_ids,
        )

    async def request(self) -> LicenseRequest:
        """Make a request to be carried to the authority, in place of any before. Raises ``UnavailableError``."""
        return await self._requests.make(
            {camera_id: self._store.sequence(camera_id) for camera_id in self.cameras()},
            sequence=self._store.sequence(TENANT),
        )

    async def withdraw(self) -> bool:
        """Await no answer any more; whether one was awaited. Raises ``UnavailableError``."""
        return await self._requests.close()

    async def import_(self, text: str, *, dry_run: bool = False) -> ImportReport:
        """Take over the leases of a file, all or none (``Importer.import_``)."""
        report = await self._importer.import_(text, dry_run=dry_run)
        self._follow_tenant()
        self._loops.keep_now.set()
        return report

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
        """Ask for all that is asked about, due or not; for none while the service wants quiet, or when air-gapped."""
        return await self._round(self._schedule.subjects() if self._schedule.may_ask() else [])

    async def refresh_within(self, wait: timedelta) -> RefreshRound | None:
        """As ``refresh``, but do not wait longer than this; ``None`` while the round goes on."""
        task = asyncio.create_task(self.refresh(), name="license refresh")
        self._rounds.add(task)
        task.add_done_callback(self._rounds.discard)
        await asyncio.wait({task}, timeout=wait.total_seconds())
        return task.result() if task.done() else None

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
        self._loops.ask_now.set()

    def resumed(self) -> None:
        """After resume or a clock change: what was true of the link may not be, so silence is given its time again."""
        self._contacts.restart()
        self.ask_again()
        self._settle()

    async def _round(self, camera_ids: Sequence[CameraId]) -> RefreshRound:
        done = await self._refresher.round(camera_ids)
        await self.reevaluate()
        return done

    async def _keep(self) -> None:
        if await self._store.keep():
            self._follow_tenant()
            self._settle()
        await self._registry.keep()

    def _settle(self, camera_ids: Iterable[CameraId] | None = None) -> Sequence[LicenseChanged]:
        changes = self._verdicts.settle(camera_ids)
        if changes:
            self._edges.add(changes)
            self._registry.touch()
            self._loops.keep_now.set()
            self._loops.tell_now.set()
            self._count_states()
        if self.generation != self._told:
            self._told = self.generation
            for listener in self._listeners:
                listener()
        return changes

    def _follow_tenant(self) -> None:
        """What is known of the tenant itself is kept fresh, as of any camera."""
        if self._store.get(TENANT) is not None:
            self._schedule.add(TENANT)

    def _count_states(self) -> None:
        for state, count in self._verdicts.counts().items():
            telemetry.LICENSE_CAMERAS.labels(state=state).set(count)

    def _hurry(self) -> None:
        self._schedule.hurry()
        self._loops.ask_now.set()
