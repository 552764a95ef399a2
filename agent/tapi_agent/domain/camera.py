"""What a camera is made of: its components and the zones in its picture, as the application has set it up.

Values only. How a license sees a camera is ``domain.license``; what an application may say is ``domain.camera_draft``.
JSON objects of the application (``metadata``, ``config``, ``settings``) are kept as text: the agent does not interpret
them, and no number in them loses a digit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.ids import CameraId, DeviceId

if TYPE_CHECKING:
    from collections.abc import Mapping


class ComponentRole(StrEnum):
    """What a component does with the pictures."""

    SOURCE = "source"
    """Brings them in; a camera has one at most."""
    PROCESSOR = "processor"
    SINK = "sink"


class SetupRefusal(StrEnum):
    """Why a camera's setup is refused, beside ``Refusal``: the code of the ``InvalidInputError``."""

    UNKNOWN_ROLE = "UNKNOWN_ROLE"
    DUPLICATE_ID = "DUPLICATE_ID"
    SECOND_SOURCE = "SECOND_SOURCE"
    UNKNOWN_PROCESSOR = "UNKNOWN_PROCESSOR"
    TOO_FEW_CORNERS = "TOO_FEW_CORNERS"
    ID_IS_FIXED = "ID_IS_FIXED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A part of a camera; with its ``role`` its ``type`` is a feature key, such as ``source.rtsp``."""

    component_id: str
    role: ComponentRole
    type: str
    settings: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place in the picture, in the unit of the application (pixels or parts of the picture); finite."""

    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LineZone:
    """A line that objects cross, watched by processor ``component_id``; ``direction`` says which crossings count."""

    zone_id: str
    component_id: str
    start: Point
    end: Point
    name: str = ""
    direction: str = "both"
    metadata: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonZone:
    """An area of three or more ``corners`` that objects stay in, watched by processor ``component_id``."""

    zone_id: str
    component_id: str
    corners: tuple[Point, ...]
    name: str = ""
    zone_type: str = ""
    metadata: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSetup:
    """One camera, whole. ``device_id`` serves it; ``registered_at`` (trusted time) is its seniority.

    ``config`` is the camera as its application writes it. Components stand by role, within it in their order; zones by
    id (``ordered``).
    """

    camera_id: CameraId
    device_id: DeviceId
    registered_at: datetime
    name: str = ""
    enabled: bool = True
    metadata: str = "{}"
    config: str = "{}"
    components: tuple[Component, ...] = ()
    line_zones: tuple[LineZone, ...] = ()
    polygon_zones: tuple[PolygonZone, ...] = ()


def ordered(setup: CameraSetup) -> CameraSetup:
    """The setup in the order that every store gives it back in."""
    roles = list(ComponentRole)
    return replace(
        setup,
        components=tuple(sorted(setup.components, key=lambda component: roles.index(component.role))),
        line_zones=tuple(sorted(setup.line_zones, key=attrgetter("zone_id"))),
        polygon_zones=tuple(sorted(setup.polygon_zones, key=attrgetter("zone_id"))),
    )


def elsewhere(camera_id: CameraId, device_id: DeviceId) -> RejectedError:
    """Why a change is refused: another device of the tenant serves this camera."""
    return RejectedError(
        f"camera {camera_id!a} is served by device {device_id!a}",
        code="camera_elsewhere",
        fix="ask the agent of that device; if the device is gone, delete the camera with --device (?device=) first",
    )


def setup_from(stored: Mapping[str, Any]) -> CameraSetup:
    """The setup in what a store gives back: a JSON object that has the fields of the values."""
    parts = {
        "camera_id": CameraId(stored["camera_id"]),
        "device_id": DeviceId(stored["device_id"]),
        "registered_at": datetime.fromisoformat(stored["registered_at"]),
        "components": tuple(_component(part) for part in stored["components"]),
        "line_zones": tuple(_line(zone) for zone in stored["line_zones"]),
        "polygon_zones": tuple(_polygon(zone) for zone in stored["polygon_zones"]),
    }
    return CameraSetup(**{**stored, **parts})


def _component(stored: Mapping[str, Any]) -> Component:
    return Component(**{**stored, "role": ComponentRole(stored["role"])})


def _line(stored: Mapping[str, Any]) -> LineZone:
    return LineZone(**{**stored, "start": _point(stored["start"]), "end": _point(stored["end"])})


def _polygon(stored: Mapping[str, Any]) -> PolygonZone:
    return PolygonZone(**{**stored, "corners": tuple(map(_point, stored["corners"]))})


def _point(stored: Mapping[str, Any]) -> Point:
    return Point(x=float(stored["x"]), y=float(stored["y"]))
