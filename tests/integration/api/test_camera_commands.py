"""tapi-agent cameras against a living agent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.integration.api.test_cameras import CAMERAS, GATE
from tests.integration.api.test_cli import command, lines

if TYPE_CHECKING:
    from tests.integration.api.conftest import LiveAgent
    from tests.integration.api.test_cli import Run


@pytest.fixture
def run(full: LiveAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return command(full, monkeypatch, capsys)


def post(full: LiveAgent, **changes: object) -> None:
    with full.http() as http:
        assert http.post(CAMERAS, json={**GATE, **changes}).status_code == 200


def test_a_list_that_can_be_read(full: LiveAgent, run: Run) -> None:
    assert run("cameras", "list")[1].startswith("no cameras: one is added when it is first validated")
    post(full)
    full.run(full.context.cameras.put({"camera_id": "yard"}))
    code, out, _ = run("cameras", "list")
    assert code == 0
    assert lines(out) == [
        "CAMERA  NAME      DEVICE  STATE     PARTS  ZONES",
        "gate    Gate Süd  box-1   disabled  2      2",
        "yard              box-1   enabled   0      0",
    ]
    assert "no cameras" in run("cameras", "list", "--device", "box-2")[1]
    assert [one["camera_id"] for one in json.loads(run("cameras", "list", "--json")[1])["cameras"]] == ["gate", "yard"]


def test_one_camera_that_can_be_read(full: LiveAgent, run: Run) -> None:
    post(full)
    code, out, _ = run("cameras", "show", "gate")
    assert code == 0
    assert lines(out) == [
        "Camera      gate",
        "Name        Gate Süd",
        "Device      box-1",
        "Registered  2027-03-01 12:00:00 UTC",
        "State       disabled",
        "",
        "COMPONENT  ROLE       TYPE",
        "in         source     rtsp",
        "z          processor  line_zone_manager",
        "",
        "ZONE  KIND  NAME  WATCHED BY",
        "l     line        z",
        "bay   area        z",
    ]
    assert "p%40ss" not in out
    assert json.loads(run("cameras", "show", "gate", "--json")[1])["components"][0] == GATE["components"][0]


def test_a_bare_camera_has_no_empty_tables(full: LiveAgent, run: Run) -> None:
    full.run(full.context.cameras.put({"camera_id": "yard"}))
    assert lines(run("cameras", "show", "yard")[1])[-1] == "State       enabled"


def test_away_with_one(full: LiveAgent, run: Run) -> None:
    post(full)
    assert run("cameras", "delete", "gate") == (0, "deleted gate\n", "")
    code, out, err = run("cameras", "delete", "gate")
    assert (code, out) == (2, "")
    assert err == "tapi-agent: no camera 'gate'\n  → tapi-agent cameras list shows those there are\n"
    post(full)
    assert json.loads(run("cameras", "delete", "gate", "--json")[1]) == {
        "schema": 1,
        "camera_id": "gate",
        "deleted": True,
    }
    assert run("cameras", "delete", "gate", "--device", "box-2")[0] == 2


@pytest.mark.parametrize("text", ["[/red]", "[bold]x", ":car:", "a/b%2F"], ids=ascii)
def test_what_comes_from_outside_steers_no_terminal(full: LiveAgent, run: Run, text: str) -> None:
    post(
        full,
        camera_id=text,
        name="\x1b[2J\x9b1m" + text,
        components=[{"component_id": text, "role": "processor", "type": text}],
        line_zones=[{**GATE["line_zones"][0], "zone_id": text, "component_id": text, "name": "\x1b]0;x\x07"}],
        polygon_zones=[],
    )
    for arguments in (["list"], ["show", text], ["delete", text]):
        code, out, _ = run("cameras", *arguments)
        assert code == 0
        assert "\x1b" not in out
        assert text in out


@pytest.mark.parametrize("camera", ["\x1b[2J", "a\nb", "x" * 200, ""], ids=ascii)
def test_what_is_no_camera_is_a_usage_error(run: Run, camera: str) -> None:
    code, out, err = run("cameras", "show", camera)
    assert (code, out) == (2, "")
    assert "\x1b" not in err
    assert "Traceback" not in err
