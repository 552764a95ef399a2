"""The roster file: which cameras this device has and what is already written down about each.

Implements ``ports.licenses.Roster``. Not sealed: it grants nothing. Losing it costs the order of registration and
repeats the latest edges.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from tapi_agent.adapters.files.durable import DurableFile
from tapi_agent.domain.ids import CameraId
from tapi_agent.domain.license import Camera, LicenseState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class FileRoster:
    """All cameras in one JSON list."""

    def __init__(self, path: Path) -> None:
        self._file = DurableFile(path)

    async def load(self) -> Sequence[Camera] | None:
        """All cameras; a damaged file is set aside, as if there were none."""
        content = await self._file.read()
        try:
            return None if content is None else [_parse(fields) for fields in json.loads(content)]
        except (ValueError, KeyError, TypeError) as error:
            self._file.set_aside(str(error))
            return None

    async def save(self, cameras: Sequence[Camera]) -> None:
        """Return when it is on disk."""
        await self._file.write(lambda: json.dumps([_format(camera) for camera in cameras], indent=0).encode())


def _format(camera: Camera) -> dict[str, str]:
    return {
        "camera_id": camera.camera_id,
        "registered_at": camera.registered_at.isoformat(),
        "state": camera.state,
        "since": camera.since.isoformat(),
    }


def _parse(fields: dict[str, str]) -> Camera:
    return Camera(
        camera_id=CameraId(fields["camera_id"]),
        registered_at=datetime.fromisoformat(fields["registered_at"]),
        state=LicenseState(fields["state"]),
        since=datetime.fromisoformat(fields["since"]),
    )
