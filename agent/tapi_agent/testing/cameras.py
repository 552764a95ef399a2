"""The cameras of one device in memory: stands in for PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tapi_agent.domain.camera import CameraSetup, elsewhere, ordered
from tapi_agent.testing.licenses import Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId, DeviceId


class MemoryCameras(Switch):
    """Implements ``ports.cameras.CameraStore`` for ``device_id``; ``kept`` may be shared by the stores of a tenant."""

    def __init__(self, device_id: DeviceId, kept: dict[CameraId, CameraSetup] | None = None) -> None:
        super().__init__()
        self.kept = {} if kept is None else kept
        self._device_id = device_id

    async def all(self) -> Sequence[CameraSetup]:
        """Every camera of the tenant, by seniority."""
        self.check()
        return sorted(self.kept.values(), key=lambda setup: (setup.registered_at, setup.camera_id))

    async def get(self, camera_id: CameraId) -> CameraSetup | None:
        """One camera of the tenant."""
        self.check()
        return self.kept.get(camera_id)

    async def save(self, setups: Sequence[CameraSetup]) -> Sequence[CameraSetup]:
        """Keep these, all or none."""
        self.check()
        for setup in setups:
            self._refuse_elsewhere(setup.camera_id, self._device_id)
        kept = [self._as_kept(setup) for setup in setups]
        self.kept.update((setup.camera_id, setup) for setup in kept)
        return kept

    async def change(self, camera_id: CameraId, change: Callable[[CameraSetup], CameraSetup]) -> CameraSetup | None:
        """Keep what ``change`` makes of a camera."""
        self.check()
        if camera_id not in self.kept:
            return None
        (changed,) = await self.save([change(self.kept[camera_id])])
        return changed

    async def delete(self, camera_id: CameraId, device_id: DeviceId) -> bool:
        """Forget a camera of a device."""
        self.check()
        self._refuse_elsewhere(camera_id, device_id)
        return self.kept.pop(camera_id, None) is not None

    async def registrations(self) -> Mapping[CameraId, datetime]:
        """When each camera of this device was first registered."""
        self.check()
        own = (setup for setup in await self.all() if setup.device_id == self._device_id)
        return {setup.camera_id: setup.registered_at for setup in own}

    async def register(self, registrations: Mapping[CameraId, datetime]) -> None:
        """Add the cameras that are missing."""
        self.check()
        for camera_id, at in registrations.items():
            bare = CameraSetup(camera_id=camera_id, device_id=self._device_id, registered_at=at)
            known = self.kept.get(camera_id, bare)
            if known.device_id == self._device_id:
                self.kept[camera_id] = replace(known, registered_at=min(at, known.registered_at))

    def _as_kept(self, setup: CameraSetup) -> CameraSetup:
        known = self.kept.get(setup.camera_id, setup)
        first = min(setup.registered_at, known.registered_at)
        return replace(ordered(setup), device_id=self._device_id, registered_at=first)

    def _refuse_elsewhere(self, camera_id: CameraId, device_id: DeviceId) -> None:
        known = self.kept.get(camera_id)
        if known and known.device_id != device_id:
            raise elsewhere(camera_id, known.device_id)
