"""Cameras over the real socket: made, read, changed, deleted, licensed; and every way to say something wrong."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from tests.integration.api.conftest import agent_in_thread
from tests.integration.api.test_levels import HELD, TABLE
from tests.integration.api.test_levels import ask as ask_as_nobody

from tapi_agent.adapters.postgres.cameras import PostgresCameras
from tapi_agent.api.peer import Level
from tapi_agent.client import AgentClient
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Subject
from tapi_agent.services.cameras import Cameras

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from tests.integration.api.conftest import LiveAgent

CAMERAS = "/api/v1/cameras"
POINT = {"x": 1, "y": 2}
AREA = {"zone_id": "bay", "component_id": "z", "corners": [POINT, POINT, POINT]}
LINE = {"zone_id": "l", "component_id": "z", "start": POINT, "end": POINT}
PARTS = [
    {"component_id": "in", "role": "source", "type": "rtsp", "settings": {"url": "rtsp://u:p%40ss@h/1"}},
    {"component_id": "z", "role": "processor", "type": "line_zone_manager"},
]
GATE: dict[str, Any] = {
    "camera_id": "gate",
    "name": "Gate Süd",
    "enabled": False,
    "metadata": {"floor": 1},
    "config": {"zoom": 2},
    "components": PARTS,
    "line_zones": [LINE],
    "polygon_zones": [AREA],
}


@pytest.fixture
def http_full(full: LiveAgent) -> Iterator[httpx.Client]:
    with full.http() as client:
        yield client


def camera(http: httpx.Client, camera_id: str = "gate") -> dict[str, Any]:
    reply = http.get(f"{CAMERAS}/{quote(camera_id, safe='')}")
    assert reply.status_code == 200
    document: dict[str, Any] = reply.json()
    return document


def test_a_camera_is_made_read_and_listed(full: LiveAgent, http_full: httpx.Client) -> None:
    made = http_full.post(CAMERAS, json=GATE)
    assert made.status_code == 200
    document = made.json()
    assert (document["device_id"], document["registered_at"]) == ("box-1", "2027-03-01T12:00:00Z")
    for name in ("camera_id", "name", "enabled", "metadata", "config"):
        assert document[name] == GATE[name]
    assert document["components"][1] == {**PARTS[1], "settings": {}}
    assert document["line_zones"] == [{**LINE, "name": "", "direction": "both", "metadata": {}}]
    assert document["polygon_zones"] == [{**AREA, "name": "", "zone_type": "", "metadata": {}}]
    assert camera(http_full) == document
    (listed,) = http_full.get(CAMERAS).json()["cameras"]
    assert {"schema": 1, **listed} == document
    assert full.context.licensing.cameras() == ["gate"]


def test_a_bare_camera_has_defaults_and_null_says_nothing(http_full: httpx.Client) -> None:
    members = dict.fromkeys(["name", "enabled", "metadata", "config", "components", "line_zones", "polygon_zones"])
    assert http_full.post(CAMERAS, json={"camera_id": "gate", **members}).status_code == 200
    document = camera(http_full)
    assert document["enabled"] is True
    assert [document[name] for name in ("name", "metadata", "config", "components")] == ["", {}, {}, []]


def test_sending_it_again_replaces_it_and_keeps_its_seniority(full: LiveAgent, http_full: httpx.Client) -> None:
    first = http_full.post(CAMERAS, json=GATE).json()
    again = http_full.post(CAMERAS, json=GATE).json()
    assert again == first
    http_full.post("/api/v1/license/validate/yard")
    assert http_full.post(CAMERAS, json={"camera_id": "gate"}).json()["components"] == []
    assert camera(http_full)["line_zones"] == []
    assert full.context.licensing.cameras() == ["gate", "yard"]


def test_numbers_keep_every_digit(http_full: httpx.Client) -> None:
    text = '{"a":1.10,"b":12345678901234567890123.4567890,"c":[1E+2,0.1]}'
    body = f'{{"camera_id": "gate", "config": {text}, "components": [{{"component_id": "x", "role": "sink", '
    body += f'"type": "file", "settings": {text}}}]}}'
    assert http_full.post(CAMERAS, content=body.encode()).status_code == 200
    assert http_full.get(f"{CAMERAS}/gate").text.count(text) == 2


def test_a_change_replaces_what_is_sent_and_keeps_the_rest(http_full: httpx.Client) -> None:
    before = http_full.post(CAMERAS, json=GATE).json()
    changed = http_full.patch(f"{CAMERAS}/gate", json={"name": "new", "line_zones": [], "enabled": None})
    assert changed.json() == before | {"name": "new", "line_zones": []} == camera(http_full)
    assert http_full.patch(f"{CAMERAS}/gate", json={"camera_id": "gate"}).json() == changed.json()


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        pytest.param({"camera_id": "other"}, "ID_IS_FIXED", "#/camera_id", id="another id"),
        pytest.param({"components": PARTS[:1]}, "UNKNOWN_PROCESSOR", "#/line_zones/0/component_id", id="watched"),
        pytest.param({"device_id": "box-2"}, "UNKNOWN_FIELD", "#/device_id", id="another device"),
        pytest.param([], "WRONG_TYPE", "#", id="no object"),
    ],
)
def test_a_wrong_change_changes_nothing(http_full: httpx.Client, change: object, code: str, pointer: str) -> None:
    before = http_full.post(CAMERAS, json=GATE).json()
    reply = http_full.patch(f"{CAMERAS}/gate", json=change)
    assert (reply.status_code, reply.json()["code"], reply.json()["errors"][0]["pointer"]) == (400, code, pointer)
    assert camera(http_full) == before


def test_a_deleted_camera_is_gone_and_frees_its_place(full: LiveAgent, http_full: httpx.Client) -> None:
    http_full.post(CAMERAS, json=GATE)
    http_full.post("/api/v1/license/validate/yard")
    deleted = http_full.delete(f"{CAMERAS}/gate")
    assert (deleted.status_code, deleted.json()) == (200, {"schema": 1, "camera_id": "gate", "deleted": True})
    assert full.context.licensing.cameras() == ["yard"]
    assert http_full.delete(f"{CAMERAS}/yard").status_code == 200
    assert full.context.licensing.cameras() == []
    for method in ("GET", "PATCH", "DELETE"):
        reply = http_full.request(method, f"{CAMERAS}/gate", json={} if method == "PATCH" else None)
        assert (reply.status_code, reply.json()["code"]) == (404, "camera_unknown")
        assert "tapi-agent cameras list" in reply.json()["fix"]


@pytest.mark.parametrize(
    "camera_id",
    ["gate/1", "100%", "%2F", "a'; DROP TABLE cameras; --", "歩行者 👁", "..", "?x=1#y", "+ &", "x" * 128],
    ids=lambda text: ascii(text)[:20],
)
def test_any_printable_id_goes_through(full: LiveAgent, http_full: httpx.Client, camera_id: str) -> None:
    assert http_full.post(CAMERAS, json={"camera_id": camera_id, "name": camera_id}).status_code == 200
    path = f"{CAMERAS}/{quote(camera_id, safe='')}"
    with AgentClient(full.socket) as client:
        assert client.camera(camera_id)["name"] == camera_id
        assert client.patch_camera(camera_id, {"name": "n"})["camera_id"] == camera_id
    assert http_full.delete(path.replace("..", "%2E%2E")).json()["camera_id"] == camera_id
    assert http_full.get(CAMERAS).json()["cameras"] == []


def body(**changes: object) -> bytes:
    return json.dumps({**GATE, **changes}).encode()


def part(**changes: object) -> bytes:
    return body(components=[PARTS[0], {**PARTS[1], **changes}])


def line(**changes: object) -> bytes:
    return body(line_zones=[{**LINE, **changes}])


def area(**changes: object) -> bytes:
    return body(polygon_zones=[AREA, {**AREA, "zone_id": "b", **changes}])


def nested(levels: int) -> object:
    return {} if levels == 1 else {"in": nested(levels - 1)}


@pytest.mark.parametrize(
    ("sent", "code", "pointer"),
    [
        (b"", "malformed_json", "#"),
        (b'{"camera_id": "gate", ', "malformed_json", "#"),
        (b"\xff", "malformed_json", "#"),
        (b"[" * 100_000, "malformed_json", "#"),
        (b'{"camera_id": "a", "camera_id": "b"}', "duplicate_name", "#"),
        (b'{"camera_id": "a", "metadata": {"n": NaN}}', "not_finite", "#"),
        (b"null", "WRONG_TYPE", "#"),
        (b"[]", "WRONG_TYPE", "#"),
        (b'"gate"', "WRONG_TYPE", "#"),
        (b"{}", "MISSING", "#/camera_id"),
        (body(camera_id=None), "MISSING", "#/camera_id"),
        (body(camera_id=5), "WRONG_TYPE", "#/camera_id"),
        (body(camera_id=""), "BAD_TEXT", "#/camera_id"),
        (body(camera_id="a\0b"), "BAD_TEXT", "#/camera_id"),
        (body(camera_id="a\nb"), "BAD_TEXT", "#/camera_id"),
        (body(camera_id="\x1b[2J"), "BAD_TEXT", "#/camera_id"),
        (body(camera_id="\ud800"), "BAD_TEXT", "#/camera_id"),
        (body(camera_id="x" * 129), "TOO_LONG", "#/camera_id"),
        (body(registered_at="2001-01-01T00:00:00Z"), "UNKNOWN_FIELD", "#/registered_at"),
        (body(device_id="box-1"), "UNKNOWN_FIELD", "#/device_id"),
        (body(**{"\ud800/~": 1}), "UNKNOWN_FIELD", "#/\\ud800~1~0"),
        (body(**{"x" * 5000: 1}), "UNKNOWN_FIELD", "#/" + "x" * 60),
        (body(name=["x"]), "WRONG_TYPE", "#/name"),
        (body(name="a\0"), "BAD_TEXT", "#/name"),
        (body(name="x" * 129), "TOO_LONG", "#/name"),
        (body(enabled="yes"), "WRONG_TYPE", "#/enabled"),
        (body(enabled=1), "WRONG_TYPE", "#/enabled"),
        (body(metadata=[]), "WRONG_TYPE", "#/metadata"),
        (body(metadata={"a": "\ud800"}), "BAD_TEXT", "#/metadata/a"),
        (body(metadata={"a\0": 1}), "BAD_TEXT", "#/metadata/a\0"),
        (body(config={"a": 10**400}), "OUT_OF_RANGE", "#/config/a"),
        (body(config=nested(17)), "TOO_DEEP", "#/config" + "/in" * 16),
        (body(config={"a": "x" * 256 * 1024}), "TOO_LONG", "#/config"),
        (body(components={}), "WRONG_TYPE", "#/components"),
        (body(components=[5]), "WRONG_TYPE", "#/components/0"),
        (body(components=[None]), "WRONG_TYPE", "#/components/0"),
        (part(component_id=None), "MISSING", "#/components/1/component_id"),
        (part(component_id=""), "BAD_TEXT", "#/components/1/component_id"),
        (part(component_id="in"), "DUPLICATE_ID", "#/components/1/component_id"),
        (part(role="proccessor"), "UNKNOWN_ROLE", "#/components/1/role"),
        (part(role=None), "MISSING", "#/components/1/role"),
        (part(role="source"), "SECOND_SOURCE", "#/components/1/role"),
        (part(role="sink"), "UNKNOWN_PROCESSOR", "#/line_zones/0/component_id"),
        (part(type=7), "WRONG_TYPE", "#/components/1/type"),
        (part(type=""), "BAD_TEXT", "#/components/1/type"),
        (part(settings="{}"), "WRONG_TYPE", "#/components/1/settings"),
        (part(place=3), "UNKNOWN_FIELD", "#/components/1/place"),
        (line(zone_id=None), "MISSING", "#/line_zones/0/zone_id"),
        (line(component_id="nobody"), "UNKNOWN_PROCESSOR", "#/line_zones/0/component_id"),
        (line(start=None), "MISSING", "#/line_zones/0/start"),
        (line(start=[1, 2]), "WRONG_TYPE", "#/line_zones/0/start"),
        (line(start={"x": 1}), "MISSING", "#/line_zones/0/start/y"),
        (line(end={"x": "1", "y": 2}), "WRONG_TYPE", "#/line_zones/0/end/x"),
        (line(end={"x": True, "y": 2}), "WRONG_TYPE", "#/line_zones/0/end/x"),
        (line(end={"x": 10**400, "y": 2}), "OUT_OF_RANGE", "#/line_zones/0/end/x"),
        (line(end={**POINT, "z": 2}), "UNKNOWN_FIELD", "#/line_zones/0/end/z"),
        (line(direction=""), "BAD_TEXT", "#/line_zones/0/direction"),
        (body(line_zones=[LINE, LINE]), "DUPLICATE_ID", "#/line_zones/1/zone_id"),
        (area(corners=[POINT] * 2), "TOO_FEW_CORNERS", "#/polygon_zones/1/corners"),
        (area(corners=None), "TOO_FEW_CORNERS", "#/polygon_zones/1/corners"),
        (area(corners=[POINT] * 3 + [{}]), "MISSING", "#/polygon_zones/1/corners/3/x"),
        (area(component_id="in"), "UNKNOWN_PROCESSOR", "#/polygon_zones/1/component_id"),
        (area(zone_id="bay"), "DUPLICATE_ID", "#/polygon_zones/1/zone_id"),
        (area(zone_type=1), "WRONG_TYPE", "#/polygon_zones/1/zone_type"),
        (area(metadata=1), "WRONG_TYPE", "#/polygon_zones/1/metadata"),
    ],
    ids=lambda value: ascii(value)[-40:] if isinstance(value, bytes) else None,
)
def test_a_wrong_camera_is_refused_with_its_place(
    steady: LiveAgent, ask: httpx.Client, sent: bytes, code: str, pointer: str
) -> None:
    reply = ask.post(CAMERAS, content=sent)
    document = reply.json()
    assert (reply.status_code, document["code"], document["errors"][0]["pointer"]) == (400, code, pointer)
    assert (document["retryable"], bool(document["detail"])) == (False, True)
    assert steady.context.licensing.cameras() == []


def test_1e400_is_no_coordinate(ask: httpx.Client) -> None:
    sent = line(end={"x": 7777, "y": 2}).replace(b"7777", b"1e400")
    document = ask.post(CAMERAS, content=sent).json()
    assert (document["code"], document["errors"][0]["pointer"]) == ("OUT_OF_RANGE", "#/line_zones/0/end/x")


def test_a_body_beyond_a_mebibyte_is_refused(ask: httpx.Client) -> None:
    reply = ask.post(CAMERAS, content=b" " * 1024 * 1024 + b"{}")
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("a%00b", 404, "camera_unknown"),
        ("a%0Ab", 404, "unknown_route"),
        ("%FF", 400, "malformed_path"),
        ("x" * 129, 400, "bad_parameter"),
        ("gate/typo", 404, "unknown_route"),
        ("gate/", 404, "unknown_route"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_path_that_names_no_camera(steady: LiveAgent, method: str, path: str, status: int, code: str) -> None:
    request = f"{method} {CAMERAS}/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    head, _, document = steady.raw(request.encode()).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(document)["code"] == code


@pytest.mark.parametrize("call", ["GET", "GET gate", "POST", "PATCH gate", "DELETE gate"])
def test_without_postgresql_nothing_is_done_and_it_says_so(live: LiveAgent, http: httpx.Client, call: str) -> None:
    method, _, camera_id = call.partition(" ")
    document = {"POST": GATE, "PATCH": {"name": "n"}}.get(method)
    reply = http.request(method, f"{CAMERAS}/{camera_id}".rstrip("/"), json=document)
    problem = reply.json()
    assert (reply.status_code, problem["code"], problem["retryable"]) == (503, "unavailable", True)
    assert problem["fix"] == "start PostgreSQL, or correct its DSN"
    assert int(reply.headers["retry-after"]) >= 1
    assert live.context.licensing.cameras() == []


def other_box(full: LiveAgent) -> PostgresCameras:
    """The store of another device in the same database."""
    database = full.context.cameras._store._database
    return PostgresCameras(database=database, device_id=DeviceId("box-2"), tenant_id=TenantId("acme"))


def test_another_devices_camera_is_seen_and_can_only_be_deleted_by_naming_it(full: LiveAgent) -> None:
    full.run(other_box(full).register({CameraId("gate"): full.machine.wall()}))
    with full.http() as http:
        http.post(CAMERAS, json={"camera_id": "yard"})
        assert [one["camera_id"] for one in http.get(CAMERAS, params={"device": "box-2"}).json()["cameras"]] == ["gate"]
        assert http.get(CAMERAS, params={"device": "box-3"}).json()["cameras"] == []
        for method, path in (("POST", ""), ("PATCH", "/gate"), ("DELETE", "/gate"), ("DELETE", "/gate?device=box-3")):
            reply = http.request(method, CAMERAS + path, json={"camera_id": "gate"})
            assert (reply.status_code, reply.json()["code"]) == (409, "camera_elsewhere")
            assert "--device" in reply.json()["fix"]
        assert http.delete(f"{CAMERAS}/gate?device=box-2").status_code == 200
        assert http.delete(f"{CAMERAS}/yard?device=box-1").status_code == 200
        assert full.context.licensing.cameras() == []


def test_without_a_tenant_cameras_belong_to_nobody(full: LiveAgent) -> None:
    nobody = Subject(device_id=DeviceId("box-1"), tenant_id=TenantId(""), camera_id=TENANT)
    context = full.context
    cameras = Cameras(store=context.cameras._store, licensing=context.licensing, clock=context.clock, tenant=nobody)
    with agent_in_thread(cameras=cameras) as orphan, orphan.http() as http:
        reply = http.post(CAMERAS, json=GATE)
        assert (reply.status_code, reply.json()["code"]) == (409, "no_tenant")
        assert "TENANT_ID" in reply.json()["fix"]
        assert orphan.run(cameras.reconcile()) is None


CALLS = {
    Level.CHECK: [("GET", ""), ("GET", "/gate")],
    Level.OPERATE: [("POST", ""), ("PATCH", "/gate"), ("DELETE", "/gate")],
}


@pytest.mark.parametrize(("held", "groups"), HELD)
@pytest.mark.parametrize("needed", list(CALLS), ids=lambda level: level.name)
def test_each_call_needs_its_level(held: Level, groups: list[int], needed: Level) -> None:
    if groups and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with agent_in_thread(levels=TABLE) as guarded:
        guarded.socket.parent.chmod(0o711)
        guarded.socket.chmod(0o666)
        expected = 503 if held >= needed else 403  # its PostgreSQL is down
        for method, path in CALLS[needed]:
            status, _ = ask_as_nobody(guarded, f"{method} {CAMERAS}{path}", '{"camera_id": "gate"}', groups=groups)
            assert (method, path, status) == (method, path, expected)
