"""The cameras of this device, from registration to removal: taken up by the parts of licensing, and kept on disk.

Derives no state and announces nothing: whoever changes the registry settles the verdicts afterwards.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from tapi_agent.domain.errors import InvalidInputError, UnavailableError
from tapi_agent.domain.license import Camera
from tapi_agent.ports.licenses import Roll

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.ports.licenses import Roster
    from tapi_agent.services.licensing.contacts import Contacts
    from tapi_agent.services.licensing.edges import Edges
    from tapi_agent.services.licensing.schedule import Schedule
    from tapi_agent.services.licensing.values import Surroundings
    from tapi_agent.services.licensing.verdicts import Verdicts

log = structlog.get_logger(__name__)


class Registry:
    """Who is registered, and since when."""

    def __init__(
        self,
        around: Surroundings,
        *,
        roster: Roster,
        edges: Edges,
        verdicts: Verdicts,
        schedule: Schedule,
        contacts: Contacts,
    ) -> None:
        self._clock = around.clock
        self._connectivity = around.connectivity
        self._roster = roster
        self._edges = edges
        self._verdicts = verdicts
        self._schedule = schedule
        self._contacts = contacts
        self._turn = asyncio.Lock()
        self._saved = True

    async def load(self) -> bool:
        """Take up the cameras of the roster; whether there was one. An empty one: the last camera was unregistered."""
        try:
            roll = await self._roster.load()
        except UnavailableError as error:
            log.error("roster.not_read", error=str(error), fix=error.fix)  # noqa: TRY400 - the agent goes on without it
            return False
        if roll is None:
            return False
        for camera in roll.cameras:
            with suppress(InvalidInputError):  # nothing but a file edited by hand can hold such a camera
                self._enlist(camera)
        self._edges.take_up(roll.edges)
        return True

    async def keep(self) -> None:
        """Save the roster, if it is not as it was saved last."""
        async with self._turn:
            if self._saved:
                return
            self._saved = True
            try:
                await self._roster.save(Roll(cameras=self._verdicts.roster(), edges=self._edges.unwritten))
            except UnavailableError as error:
                self._saved = False
                self._connectivity.failed("file", error)

    def touch(self) -> None:
        """Something that the roster holds has changed."""
        self._saved = False

    def register(self, camera_id: CameraId) -> bool:
        """Take up a camera; whether it is new. Raises ``InvalidInputError``."""
        now = self._clock.now()
        is_new = self._enlist(Camera(camera_id=camera_id, registered_at=now, since=now))
        self._saved = self._saved and not is_new
        return is_new

    def take_up(self, registrations: Mapping[CameraId, datetime]) -> bool:
        """Cameras and when they were registered; whether any is new, or older than was known."""
        changed = [camera_id for camera_id, at in registrations.items() if self._rejoin(camera_id, at)]
        self._saved = self._saved and not changed
        return bool(changed)

    def remove(self, camera_id: CameraId) -> bool:
        """Forget a camera; whether it was known."""
        if not self._verdicts.unregister(camera_id):
            return False
        self._schedule.remove(camera_id)
        self._contacts.forget(camera_id)
        self._saved = False
        return True

    def _rejoin(self, camera_id: CameraId, at: datetime) -> bool:
        with suppress(InvalidInputError):
            camera = Camera(camera_id=camera_id, registered_at=at, since=self._clock.now())
            return self._enlist(camera) or self._verdicts.backdate(camera_id, at)
        return False

    def _enlist(self, camera: Camera) -> bool:
        is_new = self._verdicts.register(camera)
        if is_new:
            self._schedule.add(camera.camera_id)
        return is_new
