"""Where telemetry is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.telemetry import Aggregate, DwellTime, Frame, Place, TelemetryEvent


class TelemetryStore(Protocol):
    """The telemetry of one tenant; every call is one transaction, all or nothing.

    Spans of time are ``start`` included, ``end`` not. Raises ``UnavailableError`` when nothing answers, and
    ``InvalidInputError`` for times of another century.
    """

    async def record(self, events: Sequence[TelemetryEvent]) -> Sequence[int]:
        """Keep the events; returns the ``event_id`` of each. A call that is repeated keeps them twice."""
        ...

    async def events(
        self, camera_id: CameraId, *, start: datetime, end: datetime, behind: Place | None = None, limit: int = 100
    ) -> Sequence[TelemetryEvent]:
        """The events of a camera, the newest first; a further page is what is ``behind`` the end of the one before."""
        ...

    async def save_frame(self, frame: Frame) -> int:
        """Keep a frame; returns its ``frame_id``."""
        ...

    async def frame(self, camera_id: CameraId, frame_id: int) -> Frame | None:
        """One frame with its thumbnail."""
        ...

    async def frames(
        self, camera_id: CameraId, *, start: datetime, end: datetime, behind: Place | None = None, limit: int = 100
    ) -> Sequence[Frame]:
        """The frames of a camera without their thumbnails, the newest first."""
        ...

    async def save_aggregates(self, aggregates: Sequence[Aggregate]) -> None:
        """Keep these in the place of what was counted before; of two that count the same the later one stays."""
        ...

    async def aggregates(self, camera_id: CameraId, *, start: datetime, end: datetime) -> Sequence[Aggregate]:
        """What was counted of a camera; of the series what begins in the span."""
        ...

    async def save_dwell_times(self, dwell_times: Sequence[DwellTime]) -> None:
        """Keep these in the place of what was known of the same track and class."""
        ...

    async def dwell_times(self, camera_id: CameraId, *, start: datetime, end: datetime) -> Sequence[DwellTime]:
        """Of the objects that were last seen in the span, in the order of that."""
        ...
