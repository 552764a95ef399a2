"""What is wrong with a request is said with its place and its remedy, and costs nothing that was good."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx
    from tests.integration.api.conftest import LiveAgent

EVENTS = "/api/v1/usage/events"
CHECK = "/api/v1/check"
GOOD = {"event_type": "api_call", "quantity": 1}


def event(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def refused(reply: httpx.Response, code: str, pointer: str) -> dict:
    """The problem document, complete."""
    document = reply.json()
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.status_code, document["status"]) == (400, 400)
    assert (document["code"], document["errors"][0]["pointer"]) == (code, pointer)
    assert document["type"] == f"urn:tapi-agent:problem:{code}"
    assert document["detail"]
    assert document["retryable"] is False
    return document


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b"", "malformed_json", "#"),
        (b'{"event_type": "api_call", ', "malformed_json", "#"),
        (b"\xff\xfe{}", "malformed_json", "#"),
        (b"\xef\xbb\xbf{}", "malformed_json", "#"),
        (b"[" * 500_000, "malformed_json", "#"),
        (b'{"unit": ' + b"[" * 940 + b"]" * 940 + b"}", "malformed_json", "#"),
        (b'{"event_type": "api_call", "quantity": NaN}', "not_finite", "#"),
        (b'{"event_type": "api_call", "quantity": -Infinity}', "not_finite", "#"),
        (b'{"event_type": "api_call", "quantity": 1e99999999999999999999}', "malformed_json", "#"),
        (b'{"event_type": "api_call", "quantity": ' + b"9" * 5000 + b"}", "malformed_json", "#"),
        (b'{"event_type": "api_call", "quantity": 1, "quantity": 2}', "duplicate_name", "#"),
        (b'"event"', "wrong_type", "#"),
        (b"5", "wrong_type", "#"),
        (b"null", "wrong_type", "#"),
        (json.dumps([GOOD] * 1001).encode(), "wrong_type", "#"),
        (event(event_type="nope"), "UNKNOWN_METER", "#/event_type"),
        (event(event_type=5), "WRONG_TYPE", "#/event_type"),
        (event(event_type=None), "MISSING", "#/event_type"),
        (event(quantity=None), "MISSING", "#/quantity"),
        (event(quantity="NaN"), "NOT_FINITE", "#/quantity"),
        (event(quantity="infinity"), "NOT_FINITE", "#/quantity"),
        (event(quantity=True), "WRONG_TYPE", "#/quantity"),
        (event(quantity={}), "WRONG_TYPE", "#/quantity"),
        (event(quantity="1" * 19), "OUT_OF_RANGE", "#/quantity"),
        (event(quantity="0.0000000001"), "NOT_EXACT", "#/quantity"),
        (event(quantity=-1), "NEGATIVE", "#/quantity"),
        (event(camera_id="\ud800"), "BAD_TEXT", "#/camera_id"),
        (event(camera_id="a\0b"), "BAD_TEXT", "#/camera_id"),
        (event(metadata={"\ud800": 1}), "BAD_TEXT", "#/metadata/\ud800"),
        (event(metadata=[]), "WRONG_TYPE", "#/metadata"),
        (event(billable="yes"), "WRONG_TYPE", "#/billable"),
        (event(event_time="tomorrow"), "BAD_TIME", "#/event_time"),
        (event(event_time="1970-01-01T00:00:00Z"), "TOO_OLD", "#/event_time"),
        (event(event_time="2099-01-01T00:00:00Z"), "IN_FUTURE", "#/event_time"),
        (event(dedupe_key="k"), "TIME_MISSING", "#/event_time"),
        (event(cuantity=1), "UNKNOWN_FIELD", "#/cuantity"),
        (event(**{"\ud800": 1}), "UNKNOWN_FIELD", "#/\\ud800"),
    ],
    ids=lambda value: ascii(value)[:50] if isinstance(value, bytes) else None,
)
def test_a_bad_event_is_refused_with_its_place(
    steady: LiveAgent, ask: httpx.Client, body: bytes, code: str, pointer: str
) -> None:
    refused(ask.post(EVENTS, content=body), code, pointer)
    assert steady.spool.depth == 0


def test_an_event_without_any_tenant_is_refused(living) -> None:
    with living(default_tenant=None) as live, live.http() as http:
        document = refused(http.post(EVENTS, json=GOOD), "NO_TENANT", "#/tenant_id")
        assert "TENANT_ID" in document["fix"]
        assert http.post(EVENTS, json={**GOOD, "tenant_id": "globex"}).status_code == 200


def test_bad_events_of_a_list_name_their_index_and_the_good_ones_are_kept(live: LiveAgent, http: httpx.Client) -> None:
    reply = http.post(EVENTS, json=[GOOD, {**GOOD, "quantity": "x"}, 5, GOOD])
    results = reply.json()["results"]
    assert reply.status_code == 207
    assert [one["error"]["pointer"] for one in results if "error" in one] == ["#/1/quantity", "#/2"]
    assert [one["seq"] for one in results if "seq" in one] == [1, 2]
    assert live.spool.depth == 2


def test_a_list_of_which_nothing_is_kept_is_an_error(steady: LiveAgent, ask: httpx.Client) -> None:
    document = refused(ask.post(EVENTS, json=[5, {}]), "all_refused", "#/0")
    assert [one["pointer"] for one in document["errors"]] == ["#/0", "#/1/event_type"]
    assert steady.spool.depth == 0


def test_an_empty_list_is_nothing_to_do(ask: httpx.Client) -> None:
    assert ask.post(EVENTS, json=[]).json() == {"schema": 1, "results": []}


def test_exact_quantities_survive(full: LiveAgent) -> None:
    with full.http() as http:
        body = b'{"event_type": "storage_gb_days", "quantity": 12345678901234567.123456789}'
        assert http.post(EVENTS, content=body).status_code == 200
        (row,) = http.get("/api/v1/usage/summary").json()["rows"]
    assert row["quantity"] == "12345678901234567.123456789"


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b"{}", "missing", "#/feature"),
        (b"[]", "wrong_type", "#"),
        (b'{"feature": ""}', "string_too_short", "#/feature"),
        (b'{"feature": 5}', "string_type", "#/feature"),
        (b'{"feature": null}', "string_type", "#/feature"),
        (b'{"feature": "\\ud800"}', "string_unicode", "#/feature"),
        (b'{"feature": "a.b", "camera_id": "' + b"x" * 129 + b'"}', "string_too_long", "#/camera_id"),
        (b'{"feature": "a.b", "id": 1.5}', "string_type", "#/id"),
        (b'{"feature": "a.b", "id": "\\ud800"}', "string_unicode", "#/id"),
        (b'{"feature": "a.b", "camera": "gate"}', "extra_forbidden", "#/camera"),
        (b'{"feature": "a.b", "' + b"x" * 5000 + b'": 1}', "extra_forbidden", "#/" + "x" * 60),
    ],
    ids=lambda value: ascii(value)[:50] if isinstance(value, bytes) else None,
)
def test_a_bad_check_is_refused_with_its_place(ask: httpx.Client, body: bytes, code: str, pointer: str) -> None:
    document = refused(ask.post(CHECK, content=body), code, pointer)
    assert document["fix"] == "fields: feature, camera_id, id"


@pytest.mark.parametrize("body", [b"{}", b'{"checks": {}}', b'{"checks": [], "more": 1}', b"[]"], ids=ascii)
def test_a_bad_batch_is_refused(ask: httpx.Client, body: bytes) -> None:
    reply = ask.post(f"{CHECK}/batch", content=body)
    assert (reply.status_code, reply.json()["fix"]) == (400, "fields: checks")


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", "image/png", ""]
)
def test_the_body_counts_not_what_it_is_called(ask: httpx.Client, content_type: str) -> None:
    reply = ask.post(CHECK, content=b'{"feature": "no.such"}', headers={"Content-Type": content_type})
    assert reply.status_code == 200


@pytest.mark.parametrize("wait", ["-1", "5.1", "nan", "inf", "soon", ""])
def test_a_parameter_out_of_range_is_named(ask: httpx.Client, wait: str) -> None:
    document = refused(ask.post("/api/v1/license/validate/gate", params={"wait": wait}), "bad_parameter", "?wait")
    assert "?wait" in document["detail"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("a%00b", 400, "camera_refused"),
        ("a%0Ab", 404, "unknown_route"),
        ("", 400, "camera_refused"),
        ("%FF", 400, "malformed_path"),
        ("%ED%A0%80", 400, "malformed_path"),
        ("x" * 129, 400, "bad_parameter"),
        ("gate/typo", 404, "unknown_route"),
        ("gate/../../status", 404, "unknown_route"),
    ],
)
def test_a_path_that_names_no_camera_makes_none(steady: LiveAgent, path: str, status: int, code: str) -> None:
    request = f"POST /api/v1/license/validate/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head, _, body = steady.raw(request.encode()).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["code"] == code
    assert steady.context.licensing.cameras() == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", "/nope", 404, "unknown_route", None),
        ("GET", "/api/v1/status/", 404, "unknown_route", None),
        ("GET", "/openapi.json", 404, "unknown_route", None),
        ("POST", "/api/v1/status", 405, "method_not_allowed", "GET"),
        ("GET", "/api/v1/check", 405, "method_not_allowed", "POST"),
        ("DELETE", "/api/v1/usage/events", 405, "method_not_allowed", "POST"),
        ("OPTIONS", "/api/v1/check", 405, "method_not_allowed", "POST"),
        ("BREW", "/livez", 405, "method_not_allowed", "GET"),
    ],
)
def test_what_is_not_there_says_so(
    ask: httpx.Client, method: str, path: str, status: int, code: str, allow: str | None
) -> None:
    reply = ask.request(method, path)
    assert (reply.status_code, reply.json()["code"], reply.headers.get("allow")) == (status, code, allow)
    assert f"{method} {path}" in reply.json()["detail"]


def test_head_is_no_method_of_ours_and_its_answer_has_no_body(ask: httpx.Client) -> None:
    reply = ask.head("/livez")
    assert (reply.status_code, reply.headers["allow"], reply.content) == (405, "GET", b"")
