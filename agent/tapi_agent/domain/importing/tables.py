"""The old tables, column by column, in the order they are imported; ``sql/imports.sql`` says where each column goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from tapi_agent.domain.importing import checks
from tapi_agent.domain.importing.cameras import PARTS, parts_of
from tapi_agent.domain.importing.checks import Blob, Column, Json, Text
from tapi_agent.domain.importing.flaws import Flaw, QuarantineCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Row = tuple[object, ...]
"""Its number in the old table (rowid), then its values in the order of the columns, then what was derived from them."""


def number_of(row: Row) -> int:
    """A row's number."""
    return cast("int", row[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class OldTable:
    """One old table: what each column may hold, and which of them are integers, to be added up.

    ``derive`` reads more out of a sound row: values for the columns ``derived``, or a flaw that shows only then.
    ``time`` is the column that tells the month of the target's partition.
    """

    name: str
    columns: Mapping[str, Column]
    integers: Sequence[str]
    time: str = ""
    derived: Sequence[str] = ()
    derive: Callable[[Row], Row | Flaw] | None = None

    @property
    def staged(self) -> list[str]:
        """Names of what a ``Row`` holds once it is taken."""
        return ["row_number", *self.columns, *self.derived]

    def take(self, row: Row, foreign: frozenset[str]) -> Row | Flaw:
        """A row as it was read, ready to be stored, or what is wrong with it.

        ``foreign`` are the tenant's cameras that another device serves: what is said of them here is of another camera.
        """
        values = dict(zip(self.columns, row[1:], strict=True))
        for name, column in self.columns.items():
            if flaw := column.flaw(values[name]):
                return flaw.of(name)
        if values.get("camera_id") in foreign:
            return Flaw(QuarantineCode.CAMERA_OF_ANOTHER_DEVICE, "another device of the tenant serves this camera")
        more = self.derive(row) if self.derive else ()
        return more if isinstance(more, Flaw) else row + more


def _same_span(row: Row) -> Row | Flaw:
    """The old dwell time was computed; a row that differs was tampered with."""
    _, _, _, _, first_seen, last_seen, _, dwell, _ = row
    if last_seen - first_seen == dwell:  # type: ignore[operator]  # checked integers
        return ()
    return Flaw(QuarantineCode.INCONSISTENT, "dwell_time_ms is not last_seen - first_seen")


CONFIG: Final = (
    OldTable(
        name="config",
        columns={"key": checks.NAME, "value": Json(), "updated_at": checks.time_s()},
        integers=["updated_at"],
    ),
    OldTable(
        name="camera_config",
        columns={"camera_id": checks.NAME, "config": Json(object_only=True), "updated_at": checks.time_s()},
        integers=["updated_at"],
        derived=PARTS,
        derive=lambda row: parts_of(str(row[2])),
    ),
)

TELEMETRY: Final = (
    OldTable(
        name="frames",
        columns={
            "id": checks.row_id(),
            "camera_id": checks.NAME,
            "timestamp": checks.time_ms(),
            "thumbnail": Blob(optional=True),
            "width": checks.PIXELS,
            "height": checks.PIXELS,
            "created_at": checks.time_ms(optional=True),
        },
        integers=["id", "timestamp", "width", "height", "created_at"],
    ),
    OldTable(
        name="telemetry_events",
        columns={
            "id": checks.row_id(),
            "camera_id": checks.NAME,
            "timestamp": checks.time_ms(),
            "event_type": checks.EVENT_TYPE,
            "source_id": Text(),
            "properties": Json(object_only=True),
            "frame_id": checks.row_id(optional=True),
            "created_at": checks.time_ms(optional=True),
        },
        integers=["id", "timestamp", "event_type", "frame_id", "created_at"],
        time="timestamp",
    ),
    OldTable(
        name="analytics_summary",
        columns={
            "camera_id": checks.NAME,
            "summary_key": checks.KEY,
            "summary_value": Json(),
            "last_updated": checks.time_ms(optional=True),
        },
        integers=["last_updated"],
    ),
    OldTable(
        name="time_series_buckets",
        columns={
            "camera_id": checks.NAME,
            "bucket_timestamp": checks.time_ms(),
            "bucket_size": checks.LENGTH_MS,
            "event_type": checks.EVENT_TYPE,
            "class_name": Text(key=True, optional=True),
            "event_count": checks.COUNT,
            "last_updated": checks.time_ms(optional=True),
        },
        integers=["bucket_timestamp", "bucket_size", "event_type", "event_count", "last_updated"],
    ),
    OldTable(
        name="class_distribution",
        columns={
            "camera_id": checks.NAME,
            "class_name": checks.KEY,
            "event_type": checks.EVENT_TYPE,
            "total_count": checks.COUNT,
            "last_updated": checks.time_ms(optional=True),
        },
        integers=["event_type", "total_count", "last_updated"],
    ),
    OldTable(
        name="dwell_times",
        columns={
            "camera_id": checks.NAME,
            "track_id": checks.KEY,
            "class_name": checks.KEY,
            "first_seen": checks.time_ms(),
            "last_seen": checks.time_ms(),
            "detection_count": checks.COUNT,
            "dwell_time_ms": checks.SPAN_MS,
            "last_updated": checks.time_ms(optional=True),
        },
        integers=["first_seen", "last_seen", "detection_count", "dwell_time_ms", "last_updated"],
        derive=_same_span,
    ),
    OldTable(
        name="event_type_counts",
        columns={
            "camera_id": checks.NAME,
            "event_type": checks.EVENT_TYPE,
            "total_count": checks.COUNT,
            "recent_count_24h": checks.COUNT,
            "last_updated": checks.time_ms(optional=True),
            "last_24h_updated": checks.time_ms(optional=True),
        },
        integers=["event_type", "total_count", "recent_count_24h", "last_updated", "last_24h_updated"],
    ),
)
