"""Leases through the API: a fresh word for all now, a request to be carried, its answer imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tapi_agent.client import AgentClient
from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.ids import CameraId, DeviceId
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    import httpx
    from tests.integration.api.conftest import LiveAgent

IMPORT, REQUEST, REFRESH = "/api/v1/license/import", "/api/v1/license/request", "/api/v1/license/refresh"
TEXT = {"Content-Type": "text/plain"}


def status(http: httpx.Client) -> dict:
    return http.get("/api/v1/license/status").json()


def test_a_request_names_what_the_service_needs(live: LiveAgent, http: httpx.Client) -> None:
    http.post("/api/v1/license/validate/gate")
    document = http.post(REQUEST).json()
    assert document == {
        "schema": 1,
        "kind": "tapi-license-request",
        "tenant_id": "acme",
        "device_id": "box-1",
        "nonce": document["nonce"],
        "components": {},
        "cameras": [{"camera_id": "gate", "sequence": document["cameras"][0]["sequence"]}],
        "sequence": 0,
        "agent_version": "1.2.3",
        "clock": {"wall": "2027-03-01T12:00:00Z", "trusted": "2027-03-01T12:00:00Z"},
    }
    assert status(http)["open_request"] == {"nonce": document["nonce"], "made_at": "2027-03-01T12:00:00Z"}


def test_a_request_may_be_withdrawn(http: httpx.Client) -> None:
    http.post(REQUEST)
    assert http.delete(REQUEST).json() == {"schema": 1, "withdrawn": True}
    assert http.delete(REQUEST).json() == {"schema": 1, "withdrawn": False}
    assert status(http)["open_request"] is None


def test_an_answer_is_imported_and_shown(live: LiveAgent, http: httpx.Client) -> None:
    live.run(_register(live, "gate"))
    nonce = http.post(REQUEST).json()["nonce"]
    text = live.lease("gate", nonce=nonce, sequence=4, cameras_allowed=9, packs=("retail",), not_before=START)
    dry = http.post(IMPORT, params={"dry_run": True}, content=text, headers=TEXT).json()
    assert (dry["dry_run"], dry["answers_request"], status(http)["state"]) == (True, True, "expired")
    document = http.post(IMPORT, content=text, headers=TEXT).json()
    assert document["leases"] == dry["leases"]
    (lease,) = document["leases"]
    assert (lease["camera_id"], lease["new"], lease["before"]["reason"], lease["after"]["state"]) == (
        "gate",
        True,
        "NO_LICENSE",
        "valid",
    )
    shown = status(http)
    assert (shown["state"], shown["open_request"], shown["trusted_keys"], shown["drifted"]) == (
        "valid",
        None,
        ["k1"],
        [],
    )
    (gate,) = shown["licenses"]
    said = ("signed", "key_id", "sequence", "cameras_allowed", "status", "not_before", "tier")
    assert [gate[name] for name in said] == [True, "k1", 4, 9, "active", "2027-03-01T12:00:00Z", "import"]


async def _register(live: LiveAgent, camera: str) -> None:
    live.context.licensing.register(CameraId(camera))


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({"device_id": DeviceId("box-2")}, "MACHINE_MISMATCH"),
        ({"key_id": "other"}, "KEY_UNKNOWN"),
        ({"nonce": "0" * 32}, "EVIDENCE_INVALID"),
    ],
    ids=["device", "key", "nonce"],
)
def test_a_refusal_is_a_problem_that_says_why_and_what_to_do(
    live: LiveAgent, http: httpx.Client, contents: dict, reason: str
) -> None:
    http.post(REQUEST)
    reply = http.post(IMPORT, content=live.lease("gate", **contents), headers=TEXT)
    assert reply.status_code == 400
    problem = reply.json()
    assert (problem["code"], problem["retryable"]) == ("lease_refused", False)
    (error,) = problem["errors"]
    assert (error["code"], error["detail"], error["fix"]) == (reason, problem["detail"], problem["fix"])
    assert status(http)["open_request"] is not None


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\0", b"{}"], ids=["nothing", "no text", "JSON"])
def test_what_is_no_lease_is_refused(http: httpx.Client, body: bytes) -> None:
    reply = http.post(IMPORT, content=body)
    assert (reply.status_code, reply.json()["code"]) == (400, "lease_refused")


def test_refresh_asks_now_and_says_how_it_went(live: LiveAgent, http: httpx.Client) -> None:
    live.run(_register(live, "gate"))
    document = http.post(REFRESH, params={"wait": 5}).json()
    assert document["round"] == {"cameras": 1, "answered": 1, "refused": 0, "unreachable": 0}
    assert (document["state"], document["cameras"]["valid"]) == ("valid", 1)


def test_refresh_does_not_wait_longer_than_it_is_told(live: LiveAgent, http: httpx.Client) -> None:
    live.run(_register(live, "gate"))
    live.billing.slow()
    document = http.post(REFRESH).json()
    assert (document["round"], document["state"]) == (None, "expired")
    live.billing.online()


@pytest.mark.parametrize("wait", ["-1", "5.1", "x"])
def test_refresh_waits_five_seconds_at_most(ask: httpx.Client, wait: str) -> None:
    assert ask.post(REFRESH, params={"wait": wait}).json()["code"] == "bad_parameter"


def test_the_client_speaks_all_of_it(live: LiveAgent) -> None:
    with AgentClient(live.socket) as client:
        nonce = client.request_leases()["nonce"]
        with pytest.raises(RejectedError) as caught:
            client.import_leases(live.lease("gate"))
        assert caught.value.code == "lease_refused"
        text = live.lease("gate", nonce=nonce)
        assert client.import_leases(text, dry_run=True)["dry_run"] is True
        assert client.import_leases(text)["answers_request"] is True
        assert client.withdraw_request()["withdrawn"] is False
        assert client.refresh(wait=5)["round"]["cameras"] == 0
