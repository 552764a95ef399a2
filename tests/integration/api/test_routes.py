"""Every route of the API, asked over the real socket."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.client.client import AgentClient
from tapi_agent.domain.errors import NoSpaceError
from tapi_agent.domain.ids import CameraId
from tapi_agent.testing.billing import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import httpx
    from tests.integration.api.conftest import LiveAgent

CALL = {"event_type": "api_call", "quantity": 1}


def validated(http: httpx.Client, camera: str = "gate") -> dict:
    reply = http.post(f"/api/v1/license/validate/{camera}?wait=5")
    assert reply.status_code == 200
    return reply.json()


@pytest.mark.parametrize("path", ["/livez", "/api/v1/status", "/nope"])
def test_every_reply_is_stamped(http: httpx.Client, path: str) -> None:
    before = int(http.get(path).headers["tapi-generation"])
    validated(http)
    reply = http.get(path)
    assert reply.headers["tapi-version"] == "1.2.3"
    assert int(reply.headers["tapi-generation"]) > before


def test_health(live: LiveAgent, http: httpx.Client) -> None:
    assert http.get("/livez").json() == {"schema": 1, "status": "alive"}
    assert http.get("/readyz").json() == {"schema": 1, "status": "ready"}
    live.context.licensing.started = False
    reply = http.get("/readyz")
    assert (reply.status_code, reply.json()["status"]) == (503, "starting")


def test_healthz_names_what_is_down_and_what_to_do(live: LiveAgent, http: httpx.Client) -> None:
    document = http.get("/healthz").json()
    assert (document["status"], document["degraded"]) == ("degraded", ["postgres"])
    postgres = next(one for one in document["dependencies"] if one["name"] == "postgres")
    assert (postgres["up"], postgres["detail"], postgres["fix"]) == (False, "no PostgreSQL in this test", "none")
    live.context.connectivity.succeeded("postgres")
    assert http.get("/healthz").json()["status"] == "healthy"


def test_metrics_are_prometheus_text(http: httpx.Client) -> None:
    reply = http.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'tapi_dependency_up{dependency="postgres"} 0.0' in reply.text


def test_status_says_how_it_stands_and_what_comes_next(http: httpx.Client) -> None:
    validated(http)
    document = http.get("/api/v1/status").json()
    assert (document["state"], document["reason"], document["since"]) == ("valid", "OK", "2027-03-01T12:00:00Z")
    assert document["next_transition"] == {
        "at": "2027-03-01T13:00:00Z",
        "to": "offline",
        "reason": "AUTHORITY_UNREACHABLE",
    }
    assert document["cameras"] == {"total": 1, "valid": 1, "offline": 0, "grace": 0, "expired": 0}
    assert (document["version"], document["device_id"], document["tenant_id"]) == ("1.2.3", "box-1", "acme")
    assert document["clock"]["trusted_now"] == "2027-03-01T12:00:00Z"
    assert document["usage"] == {
        "spooled": 0,
        "pending": None,
        "sealed": None,
        "ambiguous": None,
        "held": None,
        "dead": None,
        "oldest_pending_at": None,
        "paused": None,
    }
    assert document["plugins"][0] == {"name": "base-catalog", "enabled": True, "error": None}
    assert document["problems"] == ["TENANT_ID is too nice"]


def test_status_follows_the_state(live: LiveAgent, http: httpx.Client) -> None:
    validated(http)
    live.billing.deny(CameraId("gate"))
    live.machine.advance(timedelta(minutes=2))
    validated(http)
    live.machine.advance(timedelta(minutes=2))
    assert validated(http)["reason"] == "REVOKED"
    document = http.get("/api/v1/status").json()
    assert (document["state"], document["next_transition"]) == ("expired", None)


def test_license_status_lists_every_camera(http: httpx.Client) -> None:
    validated(http, "gate")
    validated(http, "yard")
    document = http.get("/api/v1/license/status").json()
    assert (document["state"], document["cameras"]["total"]) == ("valid", 2)
    assert [(one["camera_id"], one["tier"], one["mode"]) for one in document["licenses"]] == [
        ("gate", "billing", "base"),
        ("yard", "billing", "base"),
    ]


def test_validate_answers_at_once_and_waits_when_asked(live: LiveAgent, http: httpx.Client) -> None:
    first = http.post("/api/v1/license/validate/gate").json()
    assert (first["state"], first["reason"], first["mode"], first["packs"]) == ("expired", "NO_LICENSE", None, [])
    assert live.billing.asked == []
    second = validated(http)
    assert (second["state"], second["mode"], second["verified_at"]) == ("valid", "base", "2027-03-01T12:00:00Z")


def test_validate_says_why_no_word_came(live: LiveAgent, http: httpx.Client) -> None:
    live.billing.offline()
    assert "offline" in validated(http)["problem"]


def test_validate_waits_no_longer_than_asked(live: LiveAgent, http: httpx.Client) -> None:
    live.billing.slow()
    reply = http.post("/api/v1/license/validate/gate?wait=0.05")
    assert (reply.status_code, reply.json()["state"]) == (200, "expired")


@pytest.mark.parametrize(
    ("sent", "name"),
    [("a%2Fb", "a/b"), ("%C3%A9%F0%9F%93%B7", "é📷"), ("a%20b", "a b"), ("%2E%2E", ".."), ("x" * 128, "x" * 128)],
    ids=["slash", "unicode", "space", "dots", "longest"],
)
def test_cameras_may_have_any_printable_name(http: httpx.Client, sent: str, name: str) -> None:
    assert validated(http, sent)["camera_id"] == name
    assert http.post("/api/v1/check", json={"feature": "analytics.heatmap", "camera_id": name}).json()["allowed"]


def test_entitlements_list_the_catalog(http: httpx.Client) -> None:
    validated(http)
    for_camera = http.get("/api/v1/entitlements", params={"camera": "gate"}).json()
    decisions = {one["feature"]: one for one in for_camera["features"]}
    assert for_camera["camera_id"] == "gate"
    assert decisions["analytics.heatmap"]["allowed"]
    assert decisions["analytics.near_miss"]["packs"] == ["advanced_analytics"]
    for_tenant = http.get("/api/v1/entitlements").json()
    assert for_tenant["camera_id"] is None
    assert len(for_tenant["features"]) == len(decisions)
    unknown = http.get("/api/v1/entitlements", params={"camera": "\x00nobody"}).json()
    assert "CAMERA_UNKNOWN" in {one["reason"] for one in unknown["features"]}


def test_check_answers_with_the_evidence(live: LiveAgent, http: httpx.Client) -> None:
    validated(http)
    live.machine.advance(timedelta(minutes=10))
    decision = http.post("/api/v1/check", json={"feature": "analytics.heatmap", "camera_id": "gate", "id": "q1"}).json()
    assert (decision["allowed"], decision["reason"], decision["variant"]) == (True, "LICENSED", "licensed")
    assert decision["freshness"] == {
        "verified_at": "2027-03-01T12:00:00Z",
        "tier": "billing",
        "stale": False,
        "age_s": 600.0,
    }
    assert (decision["evaluated_at"], decision["id"]) == ("2027-03-01T12:10:00Z", "q1")
    again = http.post("/api/v1/check", json={"feature": "analytics.heatmap", "camera_id": "gate"}).json()
    assert again["decision_id"] != decision["decision_id"]
    assert "id" not in again


@pytest.mark.parametrize("feature", ["no.such", "\x00", "é.ü", "analytics"], ids=ascii)
def test_an_unknown_feature_is_a_denial_not_an_error(http: httpx.Client, feature: str) -> None:
    reply = http.post("/api/v1/check", json={"feature": feature})
    document = reply.json()
    assert (reply.status_code, document["allowed"], document["reason"]) == (200, False, "FEATURE_UNKNOWN")
    assert document["freshness"] == {"verified_at": None, "tier": None, "stale": False, "age_s": None}


def test_a_batch_echoes_ids_and_judges_each_item_for_itself(http: httpx.Client) -> None:
    validated(http)
    checks = [
        {"feature": "analytics.heatmap", "camera_id": "gate", "id": 7},
        {"feature": "analytics.heatmap", "camera_id": 5},
        "analytics.heatmap",
        {"feature": "no.such", "id": "last"},
    ]
    results = http.post("/api/v1/check/batch", json={"checks": checks}).json()["results"]
    assert [(one.get("id"), one.get("allowed")) for one in results] == [
        (7, True),
        (None, None),
        (None, None),
        ("last", False),
    ]
    assert [one["error"]["pointer"] for one in results if "error" in one] == ["#/checks/1/camera_id", "#/checks/2"]


@pytest.mark.parametrize(("size", "status"), [(0, 200), (1000, 200), (1001, 400)])
def test_a_batch_holds_a_thousand(http: httpx.Client, size: int, status: int) -> None:
    reply = http.post("/api/v1/check/batch", json={"checks": [{"feature": "a.b"}] * size})
    assert reply.status_code == status
    assert len(reply.json().get("results", [])) == (size if status == 200 else 0)


def test_plugins_say_what_they_register(http: httpx.Client) -> None:
    plugin, *_packs = http.get("/api/v1/plugins").json()["plugins"]
    assert (plugin["name"], plugin["distribution"], plugin["enabled"]) == ("base-catalog", "tapi-agent", True)
    assert "analytics.heatmap" in plugin["features"]
    assert "api_call" in plugin["meters"]


def test_a_reload_with_nothing_new_brings_nothing(http: httpx.Client) -> None:
    before = http.get("/api/v1/plugins").json()["plugins"]
    document = http.post("/api/v1/plugins/reload").json()
    assert (document["came"], document["plugins"]) == ([], before)


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(live: LiveAgent, http: httpx.Client) -> None:
    live.billing.answer(CameraId("gate"), replace(GOOD, packs=("Gold Dust",)))
    validated(http)
    document = http.get("/api/v1/doctor").json()
    findings = {one["name"]: one for one in document["findings"] if one["source"] == "agent"}
    assert not document["healthy"]
    assert (findings["billing"]["healthy"], findings["postgres"]["healthy"]) == (True, False)
    assert (findings["postgres"]["detail"], findings["postgres"]["fix"]) == ("no PostgreSQL in this test", "none")
    assert findings["clock"]["healthy"]
    assert findings["settings"]["detail"] == "TENANT_ID is too nice"
    assert "tapi-agent plugins reload" in findings["pack Gold Dust"]["fix"]


def test_a_full_disk_refuses_usage_and_says_so_everywhere(live: LiveAgent, http: httpx.Client) -> None:
    live.context.space.relieve()
    reply = http.post("/api/v1/usage/events", json=CALL)
    problem = reply.json()
    assert (reply.status_code, problem["code"], problem["retryable"]) == (507, "no_space", True)
    assert "free space on the disk" in problem["fix"]
    assert int(reply.headers["retry-after"]) > 0
    with AgentClient(live.socket) as client, pytest.raises(NoSpaceError):
        client.record("api_call", 2)
    status = http.get("/api/v1/status").json()
    assert status["space"]["room"] == "full"
    (loss,) = status["losses"]
    assert (loss["kind"], loss["meter"], loss["events"], loss["quantity"]) == ("refused", "api_call", 2, "3")
    findings = {one["name"]: one for one in http.get("/api/v1/doctor").json()["findings"]}
    assert not findings["disk"]["healthy"]
    assert findings["usage refused"]["detail"].startswith("2 events of api_call, quantity 3, ")
    metrics = http.get("/metrics").text
    assert "tapi_space_room 0.0" in metrics
    assert 'tapi_usage_lost_total{kind="refused",meter="api_call"}' in metrics


def test_losses_are_told_although_their_file_is_gone(live: LiveAgent, http: httpx.Client) -> None:
    losses = live.socket.with_name("losses")
    losses.unlink(missing_ok=True)
    losses.mkdir()
    live.context.space.relieve()
    assert http.post("/api/v1/usage/events", json=CALL).status_code == 507
    assert [loss["events"] for loss in http.get("/api/v1/status").json()["losses"]] == [1]
    findings = {one["name"]: one for one in http.get("/api/v1/doctor").json()["findings"]}
    assert "the loss ledger gives no answer" in findings["losses"]["detail"]
    losses.rmdir()


@pytest.mark.parametrize("path", ["/api/v1/license/heartbeat", "/api/v1/heartbeat"])
def test_a_heartbeat_tells_how_it_went(live: LiveAgent, http: httpx.Client, path: str) -> None:
    validated(http)
    document = http.post(path).json()
    assert (document["next_heartbeat_s"], document["billing"]["up"]) == (900, True)
    assert [beat.cameras for beat in live.billing.beats] == [("gate",)]
    live.billing.offline()
    document = http.post(path).json()
    assert document["billing"]["up"] is False
    assert "offline" in document["billing"]["detail"]
    assert document["next_heartbeat_s"] >= 60


def test_recorded_events_are_durable_counted_and_sent(full: LiveAgent) -> None:
    with full.http() as http:
        one = http.post("/api/v1/usage/events", json={**CALL, "quantity": "0.5"}).json()
        many = http.post("/api/v1/usage/events", json=[CALL] * 1000)
        assert (many.status_code, len(many.json()["results"])) == (200, 1000)
        assert one["seq"] == 1
        before = http.get("/api/v1/usage/summary").json()
        report = http.post("/api/v1/usage/flush").json()
        after = http.get("/api/v1/usage/summary", params={"tenant": "acme"}).json()
        nobody = http.get("/api/v1/usage/summary", params={"tenant": "nobody"}).json()
        usage = http.get("/api/v1/status").json()["usage"]
    (row,) = before["rows"]
    assert (row["meter"], row["day"], row["events"], row["quantity"]) == ("api_call", "2027-03-01", 1001, "1000.5")
    assert (before["spooled"], before["complete"]) == (1001, True)
    assert (report["synced"], report["dead"], report["trouble"], report["paused"]) == (1001, 0, "", None)
    assert (after["rows"], after["spooled"]) == (before["rows"], 0)
    assert nobody["rows"] == []
    assert (usage["spooled"], usage["pending"], usage["dead"]) == (0, 0, 0)
    assert str(one["event_id"]) in {str(event["event_id"]) for event in full.billing.billed}


def test_without_postgresql_the_summary_says_that_it_is_not_all(http: httpx.Client) -> None:
    http.post("/api/v1/usage/events", json=CALL)
    document = http.get("/api/v1/usage/summary").json()
    assert (document["complete"], document["spooled"], document["rows"][0]["events"]) == (False, 1, 1)


def test_a_flush_that_cannot_says_why(http: httpx.Client) -> None:
    document = http.post("/api/v1/usage/flush").json()
    assert "PostgreSQL" in document["trouble"]


def test_a_pause_comes_with_its_remedy(full: LiveAgent) -> None:
    full.billing.offline()
    with full.http() as http:
        http.post("/api/v1/usage/events", json=CALL)
        paused = http.post("/api/v1/usage/flush").json()["paused"]
        assert http.get("/api/v1/status").json()["usage"]["paused"] == paused
    assert paused["reason"] == "UNREACHABLE"
    assert "BILLING_SERVICE_URL" in paused["fix"]


def test_a_disk_that_takes_nothing_is_no_loss_but_a_clear_refusal(
    living: Callable[..., AbstractContextManager[LiveAgent]],
) -> None:
    with living(spool=".") as live, live.http() as http:
        reply = http.post("/api/v1/usage/events", json=CALL)
    document = reply.json()
    assert (reply.status_code, document["code"], document["retryable"]) == (503, "unavailable", True)
    assert (document["fix"] != "", int(reply.headers["retry-after"])) == (True, 1)
