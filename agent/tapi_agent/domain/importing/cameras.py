"""What an old camera's JSON says: its parts, as texts that are stored, compared and added up like any column.

The whole text is kept beside them, so a key that no part names is not lost.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tapi_agent.domain.importing.checks import NAME, Text
from tapi_agent.domain.importing.flaws import Flaw, QuarantineCode
from tapi_agent.domain.importing.json_text import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

T = TypeVar("T")

PARTS: Final = ("name", "enabled", "components", "lines", "areas")
"""The last three are JSON: arrays of a part's columns, in their order; objects among those are JSON in a text."""

_SOURCE: Final = "source"
_LINES: Final = "line_zone_manager"
_AREAS: Final = "polygon_zone_manager"
_LINE: Final = ("start_x", "start_y", "end_x", "end_y")
_CORNERS: Final = 3
_PLAIN: Final = 1e15
"""Below it Python and PostgreSQL write a double with the same digits."""

Part = tuple[Any, ...]


class _Unfit(ValueError):  # noqa: N818 - an outcome, caught in this module
    """Carries a flaw out of a nested part."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.detail)
        self.flaw = flaw


def parts_of(config: str) -> Part | Flaw:
    """The ``PARTS`` of a camera's JSON object, or what keeps it from being stored in parts."""
    camera: Any = read_json(config)
    try:
        name = _text(camera.get("name", ""), "name")
        enabled = _typed(camera.get("running", True), bool, "running")
        components = [*_source(camera), *_listed(camera, "processor"), *_listed(camera, "sink")]
        lines = [_line(zone, owner) for owner, zone in _zones(components, _LINES)]
        areas = [_area(zone, owner) for owner, zone in _zones(components, _AREAS)]
        return (name, enabled, *map(_written, (components, lines, areas)))
    except _Unfit as unfit:
        return unfit.flaw


def _written(parts: Sequence[Part]) -> str:
    """Sorted by name, objects and arrays as texts."""
    names = [part[0] for part in parts]
    if len(set(names)) < len(names):
        raise _Unfit(Flaw(QuarantineCode.DUPLICATE_ID, "an id occurs twice in the camera"))
    return _json([[_json(item) if isinstance(item, dict | list) else item for item in part] for part in sorted(parts)])


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _source(camera: Mapping[str, Any]) -> Iterator[Part]:
    source = _typed(camera.get(_SOURCE) or {}, dict, _SOURCE)
    if source:
        settings = {key: value for key, value in source.items() if key != "type"}
        yield (_SOURCE, _SOURCE, _name(source.get("type"), "type of the source"), 0, settings)


def _listed(camera: Mapping[str, Any], role: str) -> Iterator[Part]:
    for place, one in enumerate(_typed(camera.get(f"{role}s") or [], list, f"{role}s")):
        component = _typed(one, dict, role)
        settings = _typed(component.get("config") or {}, dict, f"config of a {role}")
        kind = _name(component.get("type"), f"type of a {role}")
        yield (_name(component.get("id"), f"id of a {role}"), role, kind, place, settings)


def _zones(components: Sequence[Part], manager: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The zones that processors of this type watch, each with the processor's id."""
    for component_id, role, kind, _, settings in components:
        if (role, kind) == ("processor", manager):
            for zone in _typed(settings.get("zones") or [], list, "zones"):
                yield component_id, _typed(zone, dict, "zone")


def _line(zone: dict[str, Any], owner: str) -> Part:
    rest = dict(zone)
    zone_id, name = _name(rest.pop("id", None), "id of a line"), _text(rest.pop("name", ""), "name of a line")
    ends = [_coordinate(rest.pop(axis, None)) for axis in _LINE]
    return (zone_id, owner, name, *ends, _name(rest.pop("direction", "both"), "direction of a line"), rest)


def _area(zone: dict[str, Any], owner: str) -> Part:
    rest = dict(zone)
    zone_id, name = _name(rest.pop("id", None), "id of an area"), _text(rest.pop("name", ""), "name of an area")
    corners = _typed(rest.pop("polygon", None), list, "polygon")
    if len(corners) < _CORNERS:
        raise _Unfit(Flaw(QuarantineCode.INCONSISTENT, f"polygon: fewer than {_CORNERS} corners"))
    for corner in corners:
        _coordinate(_typed(corner, dict, "corner").get("x"))
        _coordinate(corner.get("y"))
    return (zone_id, owner, name, _text(rest.pop("zone_type", ""), "zone_type"), corners, rest)


def _coordinate(value: object) -> str:
    """A number as PostgreSQL writes a double, so that both sides can be compared as texts."""
    if type(value) is not int and type(value) is not float:
        raise _Unfit(Flaw(QuarantineCode.WRONG_TYPE, "a coordinate is no number"))
    if not abs(value) < _PLAIN:
        raise _Unfit(Flaw(QuarantineCode.NUMBER_OUT_OF_RANGE, "a coordinate is 10^15 or more"))
    return repr(float(value)).removesuffix(".0")


def _text(value: object, what: str) -> str:
    return str(_checked(Text(), value, what))


def _name(value: object, what: str) -> str:
    return str(_checked(NAME, value, what))


def _checked(column: Text, value: object, what: str) -> object:
    plain = value is None or isinstance(value, str)
    if flaw := column.flaw(value) if plain else Flaw(QuarantineCode.WRONG_TYPE, "no text"):
        raise _Unfit(flaw.of(what))
    return value


def _typed(value: object, kind: type[T], what: str) -> T:
    if isinstance(value, kind):
        return value
    raise _Unfit(Flaw(QuarantineCode.WRONG_TYPE, f"{what}: the JSON value is of another type"))
