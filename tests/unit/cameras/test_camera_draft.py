"""Reading a camera: what passes is in order and survives a store. The faults are in the tests of the API."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.camera import CameraSetup, ComponentRole, Point, ordered, setup_from
from tapi_agent.domain.camera_draft import changed_setup, new_setup
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.ids import DeviceId
from tapi_agent.testing.clock import START

BOX = DeviceId("box")
PROCESSOR = {"component_id": "z", "role": "processor", "type": "t"}


def read(document: object) -> CameraSetup:
    return new_setup(document, device_id=BOX, now=START)


def line(number: object) -> dict[str, object]:
    start = {"x": number, "y": 0}
    return {
        "camera_id": "gate",
        "components": [PROCESSOR],
        "line_zones": [{"zone_id": "l", "component_id": "z", "start": start, "end": start}],
    }


@pytest.mark.parametrize(
    ("number", "kept"), [(1, 1.0), (-2.5, -2.5), (Decimal("0.1"), 0.1), (Decimal("1E+2"), 100.0), (2**60, 2.0**60)]
)
def test_coordinates_are_doubles(number: object, kept: float) -> None:
    assert read(line(number)).line_zones[0].start == Point(x=kept, y=0.0)


@pytest.mark.parametrize(
    "number", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("Infinity"), Decimal("1e400"), 10**400], ids=str
)
def test_a_coordinate_is_finite(number: object) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(line(number))
    assert (caught.value.code, caught.value.pointer) == ("OUT_OF_RANGE", "#/line_zones/0/start/x")


def test_every_fault_says_what_to_do_or_what_is_allowed() -> None:
    with pytest.raises(InvalidInputError) as caught:
        read({"camera_id": "gate", "components": [{**PROCESSOR, "role": "filter"}]})
    assert caught.value.fix == "one of source, processor, sink"
    with pytest.raises(InvalidInputError) as caught:
        read({"camera_id": "gate", "zones": []})
    assert caught.value.fix.startswith("known: camera_id, name, enabled")


def test_parts_are_put_in_order() -> None:
    parts = [{"component_id": str(n), "role": role, "type": "t"} for n, role in enumerate(["sink", "processor"] * 2)]
    zones = [{"zone_id": name, "component_id": "1", "corners": [{"x": 0, "y": 0}] * 3} for name in "bAa"]
    setup = read({"camera_id": "gate", "components": parts, "polygon_zones": zones})
    assert [part.component_id for part in setup.components] == ["1", "3", "0", "2"]
    assert [zone.zone_id for zone in setup.polygon_zones] == ["A", "a", "b"]
    assert ordered(setup) == setup


def test_a_change_keeps_what_it_does_not_name() -> None:
    setup = read({**line(1), "name": "n", "metadata": {"a": 1}})
    assert changed_setup(setup, {}) == setup
    assert changed_setup(setup, {"name": "m", "metadata": None}) == replace(setup, name="m")
    assert changed_setup(setup, {"line_zones": [], "components": []}) == replace(setup, line_zones=(), components=())


def test_what_an_import_brought_does_not_stand_in_the_way_of_another_name() -> None:
    huge = replace(read({"camera_id": "gate"}), config=json.dumps({"a": "x" * 10**6}))
    assert changed_setup(huge, {"name": "n"}) == replace(huge, name="n")


texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.decimals(-1000, 1000)
points = st.fixed_dictionaries({"x": numbers, "y": numbers})
objects = st.dictionaries(texts, st.none() | st.booleans() | numbers | texts | st.lists(texts, max_size=2), max_size=3)


@st.composite
def cameras(draw: st.DrawFn) -> dict[str, object]:
    ids = draw(st.lists(texts, unique=True, max_size=4))
    roles = [*(role for role in ComponentRole if role is not ComponentRole.SOURCE)]
    parts = [
        {"component_id": one, "role": draw(st.sampled_from(roles)), "type": draw(texts), "settings": draw(objects)}
        for one in ids
    ]
    watchers = st.sampled_from([part["component_id"] for part in parts if part["role"] == "processor"] or [None])
    zones = draw(st.lists(texts, unique=True, max_size=3)) if draw(watchers) else []
    return {
        "camera_id": draw(texts),
        "name": draw(texts),
        "enabled": draw(st.booleans()),
        "metadata": draw(objects),
        "config": draw(objects),
        "components": parts,
        "line_zones": [
            {"zone_id": zone, "component_id": draw(watchers), "start": draw(points), "end": draw(points)}
            for zone in zones
        ],
        "polygon_zones": [
            {
                "zone_id": zone,
                "component_id": draw(watchers),
                "corners": draw(st.lists(points, min_size=3, max_size=5)),
                "zone_type": draw(texts),
                "metadata": draw(objects),
            }
            for zone in zones
        ],
    }


@given(cameras())
def test_what_was_read_comes_back_from_its_stored_form(document: dict[str, object]) -> None:
    setup = read(document)
    assert setup_from(orjson.loads(orjson.dumps(setup))) == setup
