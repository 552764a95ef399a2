"""The roster file: which cameras this device has, where each stands, and the edges that are on their way to the log.

Implements ``ports.licenses.Roster``. Not sealed: it grants nothing. Losing it costs the order of registration, repeats
the latest edges, and loses those that the log did not have yet.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tapi_agent.adapters.files.durable import DurableFile
from tapi_agent.domain.events import LicenseChanged
from tapi_agent.domain.ids import CameraId
from tapi_agent.domain.license import Camera, LicenseState, Reason, Subject
from tapi_agent.ports.licenses import Roll

if TYPE_CHECKING:
    from pathlib import Path


class FileRoster:
    """One JSON object; before Step 3 it was the list of cameras alone."""

    def __init__(self, path: Path) -> None:
        self._file = DurableFile(path)

    async def load(self) -> Roll | None:
        """What was kept; a damaged file is set aside, as if there were none."""
        content = await self._file.read()
        try:
            return None if content is None else _roll(json.loads(content))
        except (ValueError, KeyError, TypeError) as error:
            self._file.set_aside(str(error))
            return None

    async def save(self, roll: Roll) -> None:
        """Return when it is on disk. One at a time: of calls side by side the oldest might be what stays."""
        await self._file.write(lambda: json.dumps(asdict(roll), default=str).encode())


def _roll(document: Any) -> Roll:  # noqa: ANN401 - JSON
    parts = {"cameras": document, "edges": []} if isinstance(document, list) else document
    return Roll(cameras=[_camera(fields) for fields in parts["cameras"]], edges=[_edge(one) for one in parts["edges"]])


def _camera(fields: dict[str, str]) -> Camera:
    return Camera(
        camera_id=CameraId(fields["camera_id"]),
        registered_at=datetime.fromisoformat(fields["registered_at"]),
        state=LicenseState(fields["state"]),
        since=datetime.fromisoformat(fields["since"]),
    )


def _edge(fields: dict[str, Any]) -> LicenseChanged:
    return LicenseChanged(
        edge_id=UUID(fields["edge_id"]),
        subject=Subject(**fields["subject"]),
        old=LicenseState(fields["old"]),
        new=LicenseState(fields["new"]),
        reason=Reason(fields["reason"]),
        at=datetime.fromisoformat(fields["at"]),
    )
