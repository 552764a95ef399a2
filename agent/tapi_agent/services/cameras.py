"""The cameras of this site: what applications say of them is checked, kept, and licensed.

Owns that a camera of this device is in the database and registered with licensing, or neither: of what only one of them
has, ``reconcile`` tells the other. Called by the API and by a job.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.camera_draft import changed_setup, new_setup
from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.domain.holder import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tapi_agent.domain.camera import CameraSetup
    from tapi_agent.domain.ids import CameraId, DeviceId
    from tapi_agent.domain.license import Subject
    from tapi_agent.ports.cameras import CameraStore
    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.services.licensing import Licensing

_SOON: Final = timedelta(seconds=1)
"""Until the next look at a database that gives no answer."""


class Cameras:
    """The cameras of the tenant; those of the device that ``tenant`` names may be changed."""

    def __init__(self, *, store: CameraStore, licensing: Licensing, clock: TrustedClock, tenant: Subject) -> None:
        self._store = store
        self._licensing = licensing
        self._clock = clock
        self._tenant = tenant
        self._turn = asyncio.Lock()

    async def all(self, device_id: DeviceId | None = None) -> Sequence[CameraSetup]:
        """Every camera of the tenant, or of one device of it, by seniority."""
        setups = await self._store.all()
        return [setup for setup in setups if device_id in {None, setup.device_id}]

    async def get(self, camera_id: CameraId) -> CameraSetup:
        """One camera. Raises ``RejectedError`` ``camera_unknown``."""
        _check_name(camera_id)
        return _known(camera_id, await self._store.get(camera_id))

    async def put(self, document: object) -> CameraSetup:
        """Keep the camera that ``document`` describes, in the place of what was known of it, and register it.

        Doing it again changes nothing. Raises ``InvalidInputError`` with the place of the first fault.
        """
        self._check_tenant()
        setup = new_setup(document, device_id=self._tenant.device_id, now=self._clock.now())
        self._licensing.check(setup.camera_id)
        async with self._turn:
            (kept,) = await self._store.save([replace(setup, registered_at=self._registered_at(setup))])
            self._licensing.take_up({kept.camera_id: kept.registered_at})
        return kept

    async def patch(self, camera_id: CameraId, document: object) -> CameraSetup:
        """Put the members of ``document`` in the place of the camera's own, each whole. Raises as ``put``, ``get``."""
        _check_name(camera_id)
        async with self._turn:
            changed = await self._store.change(camera_id, partial(changed_setup, document=document))
        return _known(camera_id, changed)

    async def delete(self, camera_id: CameraId, device_id: DeviceId | None = None) -> None:
        """Forget a camera and free its place under the camera limit. What it has seen stays. Raises as ``get``.

        ``device_id`` names another device, one that is gone: an agent that still runs there would bring it back.
        """
        _check_name(camera_id)
        own = self._tenant.device_id
        async with self._turn:
            was_kept = await self._store.delete(camera_id, device_id or own)
            was_registered = device_id in {None, own} and await self._licensing.unregister(camera_id)
        if not (was_kept or was_registered):
            raise _unknown(camera_id)

    async def reconcile(self) -> timedelta | None:
        """Register what the database has of this device, and write down there what is registered.

        Of two registrations of a camera the earlier counts. Returns when to look again if the database is down.
        """
        if not self._tenant.tenant_id:
            return None
        try:
            async with self._turn:
                await self._reconcile()
        except UnavailableError:
            return _SOON
        return None

    async def _reconcile(self) -> None:
        kept = await self._store.registrations()
        self._licensing.take_up(kept)
        registered = {camera.camera_id: camera.registered_at for camera in self._licensing.roster()}
        lacking = {camera_id: at for camera_id, at in registered.items() if at < kept.get(camera_id, NEVER)}
        if lacking:
            await self._store.register(lacking)

    def _registered_at(self, setup: CameraSetup) -> datetime:
        known = {camera.camera_id: camera.registered_at for camera in self._licensing.roster()}
        return known.get(setup.camera_id, setup.registered_at)

    def _check_tenant(self) -> None:
        if not self._tenant.tenant_id:
            raise RejectedError("this agent has no tenant", code="no_tenant", fix="set TENANT_ID, then restart it")


def _check_name(camera_id: CameraId) -> None:
    """No camera has such a name, and no store need be asked for it."""
    if not camera_id.isprintable():
        raise _unknown(camera_id)


def _known(camera_id: CameraId, setup: CameraSetup | None) -> CameraSetup:
    if setup is None:
        raise _unknown(camera_id)
    return setup


def _unknown(camera_id: CameraId) -> RejectedError:
    return RejectedError(
        f"no camera {camera_id!a}", code="camera_unknown", fix="tapi-agent cameras list shows those there are"
    )
