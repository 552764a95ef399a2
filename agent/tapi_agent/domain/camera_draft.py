"""From what an application says of a camera to its setup: every part checked, whatever passes can be stored.

Pure; called by ``services.cameras`` alone.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final

from tapi_agent.domain.camera import (
    CameraSetup,
    Component,
    ComponentRole,
    LineZone,
    Point,
    PolygonZone,
    SetupRefusal,
    ordered,
)
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.fields import Fields
from tapi_agent.domain.ids import CameraId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from tapi_agent.domain.ids import DeviceId

_FIXED: Final = ("device_id", "registered_at")
"""What the agent knows better."""
_MEMBERS: Final = tuple(field.name for field in fields(CameraSetup) if field.name not in _FIXED)
_COMPONENT: Final = tuple(field.name for field in fields(Component))
_LINE: Final = tuple(field.name for field in fields(LineZone))
_POLYGON: Final = tuple(field.name for field in fields(PolygonZone))
_POINT: Final = ("x", "y")
_FEWEST_CORNERS: Final = 3

_READ: Final[dict[str, Callable[[Fields], object]]] = {
    "name": lambda given: given.text("name"),
    "enabled": lambda given: given.flag("enabled"),
    "metadata": lambda given: given.json("metadata"),
    "config": lambda given: given.json("config"),
    "components": lambda given: tuple(map(_component, given.each("components", _COMPONENT))),
    "line_zones": lambda given: tuple(map(_line, given.each("line_zones", _LINE))),
    "polygon_zones": lambda given: tuple(map(_polygon, given.each("polygon_zones", _POLYGON))),
}


def new_setup(document: object, *, device_id: DeviceId, now: datetime) -> CameraSetup:
    """The camera that ``document`` describes. Raises ``InvalidInputError`` for the first fault, with its pointer."""
    given = Fields(document, "#", _MEMBERS)
    setup = CameraSetup(camera_id=CameraId(given.id("camera_id")), device_id=device_id, registered_at=now)
    return _checked(replace(setup, **_said(given)))


def changed_setup(setup: CameraSetup, document: object) -> CameraSetup:
    """The camera with the members of ``document`` in the place of its own, each whole. Raises as ``new_setup``."""
    given = Fields(document, "#", _MEMBERS)
    if "camera_id" in given and given.id("camera_id") != setup.camera_id:
        raise given.refusal(
            "a camera keeps its id",
            SetupRefusal.ID_IS_FIXED,
            "camera_id",
            "make another camera, then delete this one; its telemetry stays under the old id",
        )
    return _checked(replace(setup, **_said(given)))


def _said(given: Fields) -> dict[str, Any]:
    return {name: read(given) for name, read in _READ.items() if name in given}


def _component(given: Fields) -> Component:
    role = given.id("role")
    if role not in set(ComponentRole):
        fix = f"one of {', '.join(ComponentRole)}"
        raise given.refusal(f"{role!a} is no role of a component", SetupRefusal.UNKNOWN_ROLE, "role", fix)
    return Component(
        component_id=given.id("component_id"),
        role=ComponentRole(role),
        type=given.id("type"),
        settings=given.json("settings"),
    )


def _line(given: Fields) -> LineZone:
    return LineZone(
        zone_id=given.id("zone_id"),
        component_id=given.id("component_id"),
        start=_point(given.inner("start", _POINT)),
        end=_point(given.inner("end", _POINT)),
        name=given.text("name"),
        direction=given.id("direction") if "direction" in given else "both",
        metadata=given.json("metadata"),
    )


def _polygon(given: Fields) -> PolygonZone:
    corners = tuple(map(_point, given.each("corners", _POINT)))
    if len(corners) < _FEWEST_CORNERS:
        fix = f"send at least {_FEWEST_CORNERS} corners, each {{x, y}}"
        raise given.refusal(f"{len(corners)} corners make no area", SetupRefusal.TOO_FEW_CORNERS, "corners", fix)
    return PolygonZone(
        zone_id=given.id("zone_id"),
        component_id=given.id("component_id"),
        corners=corners,
        name=given.text("name"),
        zone_type=given.text("zone_type"),
        metadata=given.json("metadata"),
    )


def _point(given: Fields) -> Point:
    return Point(x=given.number("x"), y=given.number("y"))


def _checked(setup: CameraSetup) -> CameraSetup:
    """What one part says about another holds."""
    _check_unique("components", "component_id", (component.component_id for component in setup.components))
    _check_unique("line_zones", "zone_id", (zone.zone_id for zone in setup.line_zones))
    _check_unique("polygon_zones", "zone_id", (zone.zone_id for zone in setup.polygon_zones))
    _check_source(setup)
    _check_processors(setup)
    return ordered(setup)


def _check_unique(part: str, name: str, ids: Iterable[str]) -> None:
    seen: dict[str, int] = {}
    for index, one in enumerate(ids):
        if seen.setdefault(one, index) != index:
            raise InvalidInputError(
                f"{one!a} is the {name} of #/{part}/{seen[one]} already",
                code=SetupRefusal.DUPLICATE_ID,
                pointer=f"#/{part}/{index}/{name}",
                fix="give each its own",
            )


def _check_source(setup: CameraSetup) -> None:
    sources = [index for index, one in enumerate(setup.components) if one.role is ComponentRole.SOURCE]
    for index in sources[1:]:
        raise InvalidInputError(
            "a camera has one source at most",
            code=SetupRefusal.SECOND_SOURCE,
            pointer=f"#/components/{index}/role",
            fix="make another camera of the other source",
        )


def _check_processors(setup: CameraSetup) -> None:
    processors = {one.component_id for one in setup.components if one.role is ComponentRole.PROCESSOR}
    watchers = {
        **{f"line_zones/{index}": zone.component_id for index, zone in enumerate(setup.line_zones)},
        **{f"polygon_zones/{index}": zone.component_id for index, zone in enumerate(setup.polygon_zones)},
    }
    for zone, component_id in watchers.items():
        if component_id not in processors:
            raise InvalidInputError(
                f"no processor of this camera has the component_id {component_id!a}",
                code=SetupRefusal.UNKNOWN_PROCESSOR,
                pointer=f"#/{zone}/component_id",
                fix="name the processor that watches the zone, or add it to components",
            )
