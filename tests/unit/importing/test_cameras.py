"""An old camera's JSON in its parts."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tapi_agent.domain.importing.cameras import parts_of
from tapi_agent.domain.importing.flaws import Flaw

LINE: Final = {"id": "l", "start_x": 0, "start_y": 1.0, "end_x": 0.1, "end_y": -1e-7}
AREA: Final = {"id": "a", "polygon": [{"x": 0, "y": 0}] * 3}


def processor(kind: str, **config: Any) -> dict[str, Any]:
    return {"processors": [{"id": "p", "type": kind, "config": config}]}


def parts(camera: dict[str, Any]) -> Any:
    return parts_of(json.dumps(camera))


def test_of_nothing_but_an_object() -> None:
    assert parts({}) == ("", True, "[]", "[]", "[]")
    assert parts({"source": None, "processors": None, "sinks": []}) == ("", True, "[]", "[]", "[]")


def test_components_in_order_of_their_names() -> None:
    camera = {
        "name": "Tor ü",
        "running": False,
        "source": {"type": "usb", "device": "/dev/video0"},
        "sinks": [{"id": "z", "type": "file", "config": {"path": "ü"}}, {"id": "b", "type": "mqtt", "config": None}],
    }
    name, enabled, components, lines, areas = parts(camera)
    assert (name, enabled, lines, areas) == ("Tor ü", False, "[]", "[]")
    assert json.loads(components) == [
        ["b", "sink", "mqtt", 1, "{}"],
        ["source", "source", "usb", 0, '{"device": "/dev/video0"}'],
        ["z", "sink", "file", 0, '{"path": "ü"}'],
    ]


def test_zones_with_what_no_column_takes() -> None:
    lines = json.loads(parts(processor("line_zone_manager", zones=[{**LINE, "color": [1]}]))[3])
    assert lines == [["l", "p", "", "0", "1", "0.1", "-1e-07", "both", '{"color": [1]}']]
    areas = json.loads(parts(processor("polygon_zone_manager", zones=[{**AREA, "zone_type": "dwell", "n": None}]))[4])
    assert areas == [["a", "p", "", "dwell", json.dumps(AREA["polygon"]), '{"n": null}']]


def test_zones_of_other_components_are_their_settings() -> None:
    assert parts(processor("heatmap", zones=[LINE]))[3] == "[]"
    sink = {"sinks": [{"id": "s", "type": "line_zone_manager", "config": {"zones": [LINE]}}]}
    assert parts(sink)[3] == "[]"


@pytest.mark.parametrize(
    ("camera", "code", "words"),
    [
        pytest.param({"name": 1}, "WRONG_TYPE", "name", id="a number for a name"),
        pytest.param({"name": None}, "MISSING_VALUE", "name", id="no name"),
        pytest.param({"running": "yes"}, "WRONG_TYPE", "running", id="a text for a boolean"),
        pytest.param({"source": "rtsp://"}, "WRONG_TYPE", "source", id="a text for a source"),
        pytest.param({"source": {"url": "x"}}, "MISSING_VALUE", "type of the source", id="a source of no type"),
        pytest.param({"processors": {}} | {"sinks": {"a": 1}}, "WRONG_TYPE", "sinks", id="an object for a list"),
        pytest.param({"sinks": ["file"]}, "WRONG_TYPE", "sink", id="a text for a sink"),
        pytest.param({"sinks": [{"id": "a", "type": ""}]}, "EMPTY_NAME", "type of a sink", id="an empty type"),
        pytest.param({"sinks": [{"id": "a" * 513, "type": "file"}]}, "TEXT_TOO_LONG", "id of a sink", id="a long id"),
        pytest.param(
            {"sinks": [{"id": "a", "type": "f", "config": 1}]}, "WRONG_TYPE", "config", id="a number for settings"
        ),
        pytest.param({"sinks": [{"id": "a", "type": "f"}] * 2}, "DUPLICATE_ID", "twice", id="two of one name"),
        pytest.param(
            {"source": {"type": "f"}, "sinks": [{"id": "source", "type": "f"}]}, "DUPLICATE_ID", "twice", id="source"
        ),
        pytest.param(processor("line_zone_manager", zones={"a": 1}), "WRONG_TYPE", "zones", id="an object for zones"),
        pytest.param(
            processor("line_zone_manager", zones=[{}]), "MISSING_VALUE", "id of a line", id="a line without id"
        ),
        pytest.param(processor("line_zone_manager", zones=[LINE, LINE]), "DUPLICATE_ID", "twice", id="two lines"),
        pytest.param(
            processor("line_zone_manager", zones=[LINE | {"end_x": True}]),
            "WRONG_TYPE",
            "coordinate",
            id="true for a number",
        ),
        pytest.param(
            processor("line_zone_manager", zones=[LINE | {"end_x": 1e15}]),
            "NUMBER_OUT_OF_RANGE",
            "10^15",
            id="far away",
        ),
        pytest.param(
            processor("line_zone_manager", zones=[LINE | {"direction": ""}]),
            "EMPTY_NAME",
            "direction",
            id="no direction",
        ),
        pytest.param(
            processor("polygon_zone_manager", zones=[AREA | {"polygon": [{"x": 0, "y": 0}] * 2}]),
            "INCONSISTENT",
            "corners",
            id="two corners",
        ),
        pytest.param(
            processor("polygon_zone_manager", zones=[AREA | {"polygon": [[0, 0]] * 3}]),
            "WRONG_TYPE",
            "corner",
            id="pairs",
        ),
        pytest.param(
            processor("polygon_zone_manager", zones=[AREA | {"polygon": [{"x": 0}] * 3}]),
            "WRONG_TYPE",
            "coordinate",
            id="no y",
        ),
        pytest.param(processor("polygon_zone_manager", zones=[{"id": "a"}]), "WRONG_TYPE", "polygon", id="no polygon"),
    ],
)
def test_what_keeps_it_from_being_stored(camera: dict[str, Any], code: str, words: str) -> None:
    flaw = parts(camera)
    assert isinstance(flaw, Flaw)
    assert (flaw.code, words in flaw.detail) == (code, True)
