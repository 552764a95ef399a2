"""What cameras have seen: telemetry events, frames, what they add up to, how long objects stayed. Values only.

Told by the application that runs the camera and kept as told; nothing here is billed (that is ``domain.usage``). Times
are aware; ``properties`` and ``value`` are JSON as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.usage import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from tapi_agent.domain.ids import CameraId

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
END: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""What is said to have happened before or from then on is a clock's mistake, and would make months without end."""


class TelemetryType(StrEnum):
    """What kind of thing was seen."""

    DETECTION = "detection"
    TRACKING = "tracking"
    CROSSING = "crossing"
    CLASSIFICATION = "classification"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryEvent:
    """Something that zone or component ``source_id`` of a camera has noticed, maybe in a frame that was kept.

    ``event_id`` is given by the store; 0 in an event that is still to be recorded.
    """

    camera_id: CameraId
    occurred_at: datetime
    event_type: TelemetryType
    source_id: str
    properties: str = "{}"
    frame_id: int | None = None
    event_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A picture. ``thumbnail`` as the application encoded it; ``None``: none was kept, or it was not asked for.

    ``width`` and ``height`` in pixels, if known; ``frame_id`` is given by the store.
    """

    camera_id: CameraId
    captured_at: datetime
    thumbnail: bytes | None = None
    width: int | None = None
    height: int | None = None
    frame_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A JSON ``value`` under a key, such as ``total``."""

    camera_id: CameraId
    summary_key: str
    value: str
    counted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesCount:
    """Events of a type in the ``bucket`` of time from ``bucket_start`` on; of one class, or of all (``None``)."""

    camera_id: CameraId
    bucket_start: datetime
    bucket: timedelta
    event_type: TelemetryType
    events: int
    class_name: str | None = None
    counted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCount:
    """Events of a type with objects of a class, so far."""

    camera_id: CameraId
    event_type: TelemetryType
    class_name: str
    events: int
    counted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeCount:
    """Events of a type so far, and in the 24 h before ``recent_counted_at``."""

    camera_id: CameraId
    event_type: TelemetryType
    events: int
    recent_events: int
    counted_at: datetime | None = None
    recent_counted_at: datetime | None = None


Aggregate: TypeAlias = Summary | SeriesCount | ClassCount | TypeCount
"""What telemetry adds up to, as the application counts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DwellTime:
    """How long a tracked object stayed: ``dwell`` is negative where a clock was set back in between."""

    camera_id: CameraId
    track_id: str
    class_name: str
    first_seen: datetime
    last_seen: datetime
    detections: int = 1
    counted_at: datetime | None = None

    @property
    def dwell(self) -> timedelta:
        """From the first detection to the last."""
        return self.last_seen - self.first_seen


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where a page of events or frames ends, newest first: the next page begins behind it."""

    at: datetime
    number: int


def page_top(end: datetime, behind: Place | None) -> Place:
    """The place behind which a page begins: nothing in it is from ``end`` on."""
    top = Place(at=end, number=-(2**63))
    return top if behind is None else min(top, behind)


def identity(aggregate: Aggregate) -> tuple[object, ...]:
    """What an aggregate counts: of two with the same identity one stands in the place of the other."""
    camera_id = aggregate.camera_id
    match aggregate:
        case Summary():
            return "summary", camera_id, aggregate.summary_key
        case SeriesCount(bucket_start=start, bucket=bucket):
            return "series", camera_id, start, bucket, aggregate.event_type, aggregate.class_name
        case ClassCount():
            return "class", camera_id, aggregate.event_type, aggregate.class_name
        case TypeCount():
            return "type", camera_id, aggregate.event_type
        case _:
            assert_never(aggregate)


def check_times(times: Iterable[datetime]) -> None:
    """Raise ``InvalidInputError`` for a time that is not in this century; its index is the pointer."""
    for index, at in enumerate(times):
        if not EARLIEST <= at < END:
            raise InvalidInputError(
                f"{at.isoformat()} is not between {EARLIEST.year} and {END.year}",
                code=Refusal.OUT_OF_RANGE,
                pointer=f"#/{index}",
                fix="set the clock of the application right",
            )
