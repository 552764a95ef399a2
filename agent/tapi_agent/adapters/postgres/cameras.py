"""Cameras with their components and zones in PostgreSQL; however many they are, the number of statements is the same.

Owns the rows of cameras, camera_components, line_zones and polygon_zones of one tenant.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tapi_agent.adapters.postgres.parameters import as_parameter
from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.camera import elsewhere, setup_from
from tapi_agent.domain.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.camera import CameraSetup
    from tapi_agent.domain.ids import CameraId, DeviceId, TenantId

_SQL: Final = load_queries("cameras")


class PostgresCameras:
    """Implements ``ports.cameras.CameraStore``."""

    def __init__(self, *, database: Database, device_id: DeviceId, tenant_id: TenantId) -> None:
        self._database = database
        self._device_id = device_id
        self._owner: dict[str, str] = {"device_id": device_id, "tenant_id": tenant_id}

    async def all(self) -> Sequence[CameraSetup]:
        """Every camera of the tenant, by seniority."""
        async with self._database.connection() as connection:
            return await self._read(connection, None)

    async def get(self, camera_id: CameraId) -> CameraSetup | None:
        """One camera of the tenant."""
        async with self._database.connection() as connection:
            found = await self._read(connection, camera_id)
        return found[0] if found else None

    async def save(self, setups: Sequence[CameraSetup]) -> Sequence[CameraSetup]:
        """Keep these, all or none."""
        async with self._database.connection() as connection:
            return await self._save(connection, setups)

    async def change(self, camera_id: CameraId, change: Callable[[CameraSetup], CameraSetup]) -> CameraSetup | None:
        """Keep what ``change`` makes of a camera; others who want to change it wait until that is done."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL.lock_camera, self._owner | {"camera_id": camera_id})
            found = await self._read(connection, camera_id)
            if not found:
                return None
            (changed,) = await self._save(connection, [change(found[0])])
            return changed

    async def delete(self, camera_id: CameraId, device_id: DeviceId) -> bool:
        """Forget a camera of a device."""
        owner = self._owner | {"device_id": device_id}
        async with self._database.connection() as connection:
            done = await connection.execute(_SQL.delete_camera, owner | {"camera_id": camera_id})
            if not done.rowcount:
                await _refuse_elsewhere(connection, owner, [camera_id])
            return bool(done.rowcount)

    async def registrations(self) -> Mapping[CameraId, datetime]:
        """When each camera of this device was first registered."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.registrations, self._owner)
            return {row["camera_id"]: row["registered_at"] for row in await cursor.fetchall()}

    async def register(self, registrations: Mapping[CameraId, datetime]) -> None:
        """Add the cameras that are missing."""
        rows = [{"camera_id": camera_id, "registered_at": at} for camera_id, at in registrations.items()]
        async with self._database.connection() as connection:
            await connection.execute(_SQL.register, self._owner | {"registrations": as_parameter(rows)})

    async def _read(self, connection: AsyncConnection[DictRow], camera_id: CameraId | None) -> list[CameraSetup]:
        cursor = await connection.execute(_SQL.read_cameras, self._owner | {"camera_id": camera_id})
        return [_setup(row["setup"]) for row in await cursor.fetchall()]

    async def _save(self, connection: AsyncConnection[DictRow], setups: Sequence[CameraSetup]) -> list[CameraSetup]:
        given = self._owner | {"setups": as_parameter(setups)}
        camera_ids = [setup.camera_id for setup in setups]
        cursor = await connection.execute(_SQL.save_cameras, given)
        kept = {row["camera_id"]: row["registered_at"] for row in await cursor.fetchall()}
        await _refuse_elsewhere(
            connection, self._owner, [camera_id for camera_id in camera_ids if camera_id not in kept]
        )
        await connection.execute(_SQL.clear_parts, self._owner | {"camera_ids": camera_ids})
        await connection.execute(_SQL.save_parts, given)
        return [replace(setup, device_id=self._device_id, registered_at=kept[setup.camera_id]) for setup in setups]


async def _refuse_elsewhere(
    connection: AsyncConnection[DictRow], owner: dict[str, str], camera_ids: Sequence[CameraId]
) -> None:
    """Raise for the first of these cameras that another device than the owner's serves."""
    if camera_ids:
        cursor = await connection.execute(_SQL.elsewhere, owner | {"camera_ids": camera_ids})
        async for row in cursor:
            raise elsewhere(row["camera_id"], row["device_id"])


def _setup(stored: dict[str, Any]) -> CameraSetup:
    """The camera in a row; whoever else writes to these tables may have left a corner without a place."""
    try:
        return setup_from(stored)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"the row of camera {stored['camera_id']!a} cannot be read: {error!r}", fix="save the camera again"
        ) from error
