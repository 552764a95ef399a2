"""The telemetry of one tenant in memory: stands in for PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from tapi_agent.domain.telemetry import Aggregate, DwellTime, Frame, Place, SeriesCount, check_times, identity, page_top
from tapi_agent.testing.licenses import Switch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.telemetry import TelemetryEvent

Kept = TypeVar("Kept")


class MemoryTelemetry(Switch):
    """Implements ``ports.telemetry.TelemetryStore``."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count(10**12)
        self._events: list[TelemetryEvent] = []
        self._frames: list[Frame] = []
        self._aggregates: dict[object, Aggregate] = {}
        self._dwell_times: dict[object, DwellTime] = {}

    async def record(self, events: Sequence[TelemetryEvent]) -> Sequence[int]:
        """Keep the events."""
        self.check()
        check_times(event.occurred_at for event in events)
        kept = [replace(event, event_id=next(self._numbers)) for event in events]
        self._events += kept
        return [event.event_id for event in kept]

    async def events(
        self, camera_id: CameraId, *, start: datetime, end: datetime, behind: Place | None = None, limit: int = 100
    ) -> Sequence[TelemetryEvent]:
        """The events of a camera, the newest first."""
        self.check()
        own = {
            Place(at=event.occurred_at, number=event.event_id): event
            for event in self._events
            if event.camera_id == camera_id
        }
        return _page(own, start, page_top(end, behind), limit)

    async def save_frame(self, frame: Frame) -> int:
        """Keep a frame."""
        self.check()
        check_times([frame.captured_at])
        self._frames.append(replace(frame, frame_id=next(self._numbers)))
        return self._frames[-1].frame_id

    async def frame(self, camera_id: CameraId, frame_id: int) -> Frame | None:
        """One frame with its thumbnail."""
        self.check()
        asked = (camera_id, frame_id)
        return next((frame for frame in self._frames if (frame.camera_id, frame.frame_id) == asked), None)

    async def frames(
        self, camera_id: CameraId, *, start: datetime, end: datetime, behind: Place | None = None, limit: int = 100
    ) -> Sequence[Frame]:
        """The frames of a camera without their thumbnails, the newest first."""
        self.check()
        own = {
            Place(at=frame.captured_at, number=frame.frame_id): replace(frame, thumbnail=None)
            for frame in self._frames
            if frame.camera_id == camera_id
        }
        return _page(own, start, page_top(end, behind), limit)

    async def save_aggregates(self, aggregates: Sequence[Aggregate]) -> None:
        """Keep these in the place of what was counted before."""
        self.check()
        self._aggregates |= {identity(aggregate): aggregate for aggregate in aggregates}

    async def aggregates(self, camera_id: CameraId, *, start: datetime, end: datetime) -> Sequence[Aggregate]:
        """What was counted of a camera."""
        self.check()
        own = (aggregate for aggregate in self._aggregates.values() if aggregate.camera_id == camera_id)
        return [one for one in own if not isinstance(one, SeriesCount) or start <= one.bucket_start < end]

    async def save_dwell_times(self, dwell_times: Sequence[DwellTime]) -> None:
        """Keep these in the place of what was known of the same track and class."""
        self.check()
        self._dwell_times |= {(one.camera_id, one.track_id, one.class_name): one for one in dwell_times}

    async def dwell_times(self, camera_id: CameraId, *, start: datetime, end: datetime) -> Sequence[DwellTime]:
        """Of the objects that were last seen in the span."""
        self.check()
        own = (one for one in self._dwell_times.values() if one.camera_id == camera_id and start <= one.last_seen < end)
        return sorted(own, key=lambda one: (one.last_seen, one.track_id, one.class_name))


def _page(own: Mapping[Place, Kept], start: datetime, top: Place, limit: int) -> list[Kept]:
    return [own[place] for place in sorted(own, reverse=True) if start <= place.at and place < top][:limit]
