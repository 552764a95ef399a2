"""Where the setup of cameras is kept: all of a tenant's, of which this device may change its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from tapi_agent.domain.camera import CameraSetup
    from tapi_agent.domain.ids import CameraId, DeviceId


class CameraStore(Protocol):
    """The cameras of one tenant; every call is one transaction.

    Setups go in and come out in the order of ``domain.camera.ordered``. Of two who write a camera at once the later one
    stays, but ``change`` never undoes what another has written meanwhile. Raises ``UnavailableError`` when nothing
    answers, ``RejectedError`` ``camera_elsewhere`` for a change to a camera that another device serves.
    """

    async def all(self) -> Sequence[CameraSetup]:
        """Every camera of the tenant, of whatever device, by seniority."""
        ...

    async def get(self, camera_id: CameraId) -> CameraSetup | None:
        """One camera of the tenant, or ``None``."""
        ...

    async def save(self, setups: Sequence[CameraSetup]) -> Sequence[CameraSetup]:
        """Keep these, each whole and all or none, in the place of what was there; no camera twice.

        Returns them as kept: an earlier ``registered_at`` stays.
        """
        ...

    async def change(self, camera_id: CameraId, change: Callable[[CameraSetup], CameraSetup]) -> CameraSetup | None:
        """Keep what ``change`` makes of a camera, and return it; ``None`` when there is none. What it raises passes."""
        ...

    async def delete(self, camera_id: CameraId, device_id: DeviceId) -> bool:
        """Forget a camera of a device with its components and zones; whether there was one. What it has seen stays."""
        ...

    async def registrations(self) -> Mapping[CameraId, datetime]:
        """When each camera of this device was first registered."""
        ...

    async def register(self, registrations: Mapping[CameraId, datetime]) -> None:
        """Add the cameras of this device that are missing, bare; of two registrations of one the earlier stays."""
        ...
