"""Every fault as the client sees it, and what it leaves in the ledger."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.integration.sandbox.conftest import TIMEOUT, event_text, new_batch, read, seal
from tests.integration.sandbox.lease_tools import MARKS, NONCE, moment, opened, verifies, word

from tapi_agent.domain.errors import RejectedError
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from tests.integration.sandbox.conftest import Service

CUT = (http.client.RemoteDisconnected, ConnectionResetError)


def raw(service: Service, request: bytes) -> bytes:
    """Everything that comes back until the connection ends; a reset counts as an end."""
    host, port = service.process.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as client:
        client.sendall(request)
        received = b""
        try:
            while chunk := client.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        return received


def posted(service: Service, body: bytes, headers: dict[str, str]) -> bytes:
    fields = {"Host": "x", "Authorization": f"Bearer {service.key}", "Content-Length": str(len(body))} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /api/v1/usage/batch HTTP/1.1\r\n{head}\r\n".encode() + body


def test_refuse_cuts_the_connection_without_a_byte_and_without_a_look(service: Service) -> None:
    service.fault("refuse", times=2)
    batch = new_batch()
    assert raw(service, posted(service, batch.body, batch.headers)) == b""
    with pytest.raises(CUT):
        service.send(batch)
    assert service.billed() == []
    assert service.send(batch).status == 200, "the rule is used up"


def test_drop_reply_has_billed_and_says_nothing(service: Service) -> None:
    service.fault("drop_reply", path="/api/v1/usage/batch", times=1)
    batch = new_batch(3)
    assert raw(service, posted(service, batch.body, batch.headers)) == b""
    assert [line["event_id"] for line in service.billed()] == batch.event_ids
    retried = service.send(batch)
    assert [result["status"] for result in retried.json["results"]] == ["accepted"] * 3
    assert len(service.billed()) == 3, "billed once"


def test_drop_reply_of_a_service_that_does_not_dedupe(service: Service) -> None:
    service.fault("classic_only")
    service.fault("drop_reply", times=1)
    batch = new_batch()
    with pytest.raises(CUT):
        service.send(batch)
    assert service.send(batch).json["accepted_count"] == 1
    assert [line["event_id"] for line in service.billed()] == batch.event_ids * 2, "billed twice: never resend blindly"


def test_a_cut_hits_one_connection_only(service: Service) -> None:
    bystander = service.connection()
    headers = {"Authorization": f"Bearer {service.key}"}
    bystander.request("GET", f"/api/v1/billing/growth-packs/{service.tenant}", headers=headers)
    assert read(bystander).status == 200
    service.fault("refuse", times=1)
    with pytest.raises(CUT):
        service.validate()
    bystander.request("GET", f"/api/v1/billing/growth-packs/{service.tenant}", headers=headers)
    assert read(bystander).status == 200
    bystander.close()


@pytest.mark.parametrize(("status", "retry_after"), [(500, None), (503, 7), (429, 0), (401, None), (404, None)])
def test_status(service: Service, status: int, retry_after: int | None) -> None:
    service.fault("status", status=status, retry_after=retry_after, times=1)
    batch = new_batch()
    reply = service.send(batch)
    assert reply.status == status
    assert reply.headers.get("retry-after") == (None if retry_after is None else str(retry_after))
    assert service.billed() == []
    assert service.send(batch).status == 200


def test_captive_portal(service: Service) -> None:
    service.fault("captive_portal", times=1)
    service.fault("captive_portal", location="http://login.example/?next=1", times=1)
    page, redirect = service.send(new_batch()), service.validate()
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"Guest Wi-Fi" in page.body
    assert (redirect.status, redirect.headers["location"]) == (302, "http://login.example/?next=1")
    assert service.billed() == []


def test_garbage(service: Service) -> None:
    service.fault("garbage", times=1)
    reply = service.send(new_batch())
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError, match="Unterminated"):
        _ = reply.json
    assert service.billed() == []


def test_wrong_types_is_json_that_no_field_can_be_read_from(service: Service) -> None:
    calls = [
        lambda: service.validate(nonce=NONCE),
        lambda: service.call("GET", f"/api/v1/billing/license/{service.tenant}"),
        lambda: service.send(new_batch()),
    ]
    right = [call().json for call in calls]
    service.fault("wrong_types", times=3)
    for call, good in zip(calls, right, strict=True):
        reply = call()
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        wrong = {name: value for name, value in reply.json.items() if name in good}
        assert len(wrong) >= 3
        assert [name for name, value in wrong.items() if type(value) is type(good[name])] == []
    assert len(service.billed()) == 1, "the request was not looked at"


@pytest.fixture
def signed(service: Service) -> Service:
    service.admin.leases(service.tenant)
    return service


def forged(service: Service, action: str) -> str | None:
    """The lease of the next reply, whose rest is as usual."""
    usual = service.validate(nonce=NONCE, components=MARKS).json
    service.fault(action, times=1)
    reply = service.validate(nonce=NONCE, components=MARKS)
    assert (reply.status, reply.json["is_valid"], reply.json["sequence"]) == (200, True, usual["sequence"])
    lease: str | None = reply.json.get("lease")
    return lease


def test_an_unsigned_reply(signed: Service) -> None:
    assert forged(signed, "unsigned") is None


def test_a_lease_that_nobody_s_key_signed(signed: Service) -> None:
    signed.admin.rotate_key()
    text, known = str(forged(signed, "wrong_key")), signed.admin.keys()
    assert len(known) >= 2
    assert not any(verifies(text, key["public_key"]) for key in known)


@pytest.mark.parametrize(
    ("action", "differs"),
    [
        ("wrong_machine", {"fingerprint", "components"}),
        ("wrong_nonce", {"nonce"}),
        ("wrong_subject", {"camera_id"}),
        ("old_sequence", {"sequence"}),
    ],
)
def test_a_forged_lease_is_wrong_in_this_only(signed: Service, action: str, differs: set[str]) -> None:
    key = signed.admin.keys()[0]["public_key"]
    right = said(opened(signed.validate(nonce=NONCE, components=MARKS).json["lease"], key))
    wrong = said(opened(str(forged(signed, action)), key))
    assert {name for name, value in right.items() if wrong[name] != value} == differs
    assert wrong["sequence"] <= right["sequence"]


def said(document: Any) -> dict[str, Any]:
    """What a lease says, but for its times."""
    machine = document["data"]["attributes"]["fingerprint"]
    return word(document) | {"fingerprint": machine, "nonce": document["meta"]["nonce"]}


def test_a_replayed_lease_is_the_first_one_of_its_subject(signed: Service) -> None:
    first = signed.validate(nonce="a" * 32).json
    signed.validate("cam-02", nonce="b" * 32)
    signed.admin.packs(signed.tenant, enable=["integration"])
    newer = signed.validate(nonce="c" * 32).json
    signed.fault("replay_lease", times=2)
    assert signed.validate(nonce=NONCE).json["lease"] == first["lease"]
    assert signed.validate("cam-02", nonce=NONCE).json["lease"] != first["lease"]
    assert first["sequence"] < newer["sequence"]


def test_without_an_earlier_lease_there_is_none_to_replay(signed: Service) -> None:
    signed.fault("replay_lease", times=1)
    assert "lease" not in signed.validate(nonce=NONCE).json


def test_leases_are_issued_by_the_wrong_clock(signed: Service) -> None:
    signed.fault("wrong_clock", seconds=-1_000_000_000, times=1)
    reply = signed.validate(nonce=NONCE).json
    meta = opened(reply["lease"], signed.admin.keys()[0]["public_key"])["meta"]
    assert abs(moment(meta["issued"]) - moment(reply["server_time"])) < timedelta(seconds=20)
    assert moment(meta["issued"]).year < 2010
    assert moment(meta["expiry"]) - moment(meta["issued"]) == timedelta(days=30)


def test_delay_comes_before_the_fault_behind_it(service: Service) -> None:
    service.fault("delay", ms=200, times=1)
    service.fault("status", status=500, times=1)
    start = time.monotonic()
    assert service.validate().status == 500
    assert time.monotonic() - start >= 0.2


def test_a_delayed_request_delays_nobody_else(service: Service) -> None:
    service.fault("delay", path="*/heartbeat", ms=3_600_000)
    connection = service.connection()
    connection.request("POST", "/api/v1/heartbeat", body=b"{}", headers={"Authorization": f"Bearer {service.key}"})
    assert service.validate().status == 200
    connection.close()


@pytest.mark.parametrize("seconds", [-1_000_000_000, 2_000_000_000])
def test_wrong_clock_is_said_and_not_believed(service: Service, seconds: int) -> None:
    right = service.validate().json
    service.fault("wrong_clock", seconds=seconds)
    wrong = service.validate().json
    assert abs(int(wrong["server_time"][:4]) - int(right["server_time"][:4]) - seconds / 31_557_600) < 2
    assert wrong["is_valid"]
    batch = service.send(new_batch()).json
    assert batch["server_time"][:4] == wrong["server_time"][:4]


def test_storage_failure_is_a_200_that_stored_nothing(service: Service) -> None:
    service.fault("storage_failure", times=2)
    batch = new_batch(2)
    assert service.send(batch).json == {"accepted_count": 0, "rejected_count": 2, "errors": ["storage: fault injected"]}
    assert service.send_classic(event_text()).json["rejected_count"] == 1
    assert service.billed() == []
    assert [one["status"] for one in service.send(batch).json["results"]] == ["accepted"] * 2


@pytest.mark.parametrize("outcome", ["rejected", "retry", "absent"])
def test_partial_with_one_outcome(service: Service, outcome: str) -> None:
    service.fault("partial", outcomes=[outcome], times=1)
    batch = new_batch(2)
    reply = service.send(batch).json
    expected = [] if outcome == "absent" else [(event_id, outcome, "fault") for event_id in batch.event_ids]
    assert [(one["event_id"], one["status"], one["code"]) for one in reply["results"]] == expected
    assert reply["accepted_count"] == 0
    assert service.billed() == []
    texts = [event_text(event_id) for event_id in batch.event_ids]
    assert [one["status"] for one in service.send(seal(texts)).json["results"]] == ["accepted"] * 2


def test_partial_by_seed_is_the_same_each_time(service: Service) -> None:
    drawn = []
    for _ in range(2):
        service.admin.clear_faults()
        service.fault("partial", outcomes=["accepted", "rejected", "retry", "absent"], seed=7)
        batch = new_batch(40)
        said = {one["event_id"]: one["status"] for one in service.send(batch).json["results"]}
        drawn.append([said.get(event_id, "absent") for event_id in batch.event_ids])
        assert {e for e, status in said.items() if status == "accepted"} <= set(service.admin.times_billed())
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {"accepted", "rejected", "retry", "absent"}
    assert len(service.billed()) == 2 * drawn[0].count("accepted")


def test_partial_never_denies_what_was_billed(service: Service) -> None:
    text = event_text(str(uuid4()))
    service.send(seal([text]))
    service.fault("partial", outcomes=["rejected", "retry"])
    assert service.send(seal([text])).json["results"][0]["status"] == "duplicate"


def test_a_partial_reply_is_given_again_under_its_key(service: Service) -> None:
    service.fault("partial", outcomes=["accepted", "retry", "absent"], seed=3, times=1)
    batch = new_batch(20)
    first, again = service.send(batch).json["results"], service.send(batch).json["results"]
    assert first == again
    assert len(service.billed()) == [one["status"] for one in first].count("accepted")


def test_rules_match_by_path_and_the_first_end_stops(service: Service) -> None:
    service.admin.faults(
        {"action": "status", "path": "/api/v1/usage/*", "status": 503, "times": 1},
        {"action": "status", "path": "*", "status": 500, "times": 2},
    )
    assert service.validate().status == 500
    assert service.send(new_batch()).status == 503
    assert [(rule["status"], rule["times"]) for rule in service.admin.fault_plan()] == [(500, 1)]
    assert service.call("GET", "/health").status == 500
    assert service.admin.fault_plan() == []


def test_a_rule_without_times_holds_until_it_is_cleared(service: Service) -> None:
    service.fault("refuse")
    for _ in range(3):
        with pytest.raises(CUT):
            service.validate()
    (rule,) = service.admin.fault_plan()
    assert rule == {"path": "*", "times": None, "action": "refuse"}
    service.admin.clear_faults()
    assert service.validate().status == 200


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "explode"},
        {"action": "wrong_key", "seconds": 1},
        {"action": "status", "status": 200},
        {"action": "status"},
        {"action": "refuse", "times": 0},
        {"action": "refuse", "status": 500},
        {"action": "partial", "outcomes": []},
        {"action": "partial", "outcomes": ["perhaps"]},
        {"action": "delay", "ms": -1},
        {"action": "wrong_clock", "seconds": 10**12},
    ],
    ids=str,
)
def test_a_rule_that_makes_no_sense_is_refused(service: Service, rule: dict[str, object]) -> None:
    with pytest.raises(RejectedError, match="rules") as refused:
        service.admin.faults({"action": "refuse"}, rule)
    assert refused.value.code == "400"
    assert service.admin.fault_plan() == []


def test_requests_are_witnessed_with_their_bytes(service: Service) -> None:
    service.admin.faults(
        {"action": "refuse", "path": "*/batch", "times": 1}, {"action": "drop_reply", "path": "*/batch", "times": 1}
    )
    batch = new_batch()
    for _ in range(2):
        with pytest.raises(CUT):
            service.send(batch)
    assert service.send(batch).status == 200
    seen = [one for one in service.admin.requests()["recent"] if one["idempotency_key"] == batch.batch_id]
    assert [(one["method"], one["path"], one["status"]) for one in seen] == [
        ("POST", "/api/v1/usage/batch", None),
        ("POST", "/api/v1/usage/batch", None),
        ("POST", "/api/v1/usage/batch", 200),
    ]
    assert [one["body_sha256"] for one in seen[1:]] == [service_sha256(service, batch.batch_id)] * 2


def service_sha256(service: Service, batch_id: str) -> str:
    (found,) = [one["body_sha256"] for one in service.admin.batches() if one["batch_id"] == batch_id]
    return str(found)


def test_requests_are_counted_by_path(service: Service) -> None:
    path = f"/api/v1/billing/growth-packs/{service.tenant}"
    for _ in range(3):
        service.call("GET", path)
    counts = service.admin.requests()["counts"]
    assert counts[f"GET {path}"] == 3
    assert not any("/admin" in request for request in counts)


def test_a_client_that_leaves_half_way_has_sent_nothing(service: Service) -> None:
    batch = new_batch()
    request = posted(service, batch.body, batch.headers)
    host, port = service.process.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(request[:-5])
        wait_until(
            lambda: [one for one in service.admin.requests()["recent"] if one["idempotency_key"] == batch.batch_id],
            within=TIMEOUT,
            what="the request's head to arrive",
        )
    assert service.send(batch).status == 200
    assert len(service.billed()) == 1


def test_faults_hold_for_requests_side_by_side(service: Service) -> None:
    """Each of so many times is met by exactly one request."""
    service.fault("status", status=503, times=5)
    met: list[int] = []
    threads = [threading.Thread(target=lambda: met.append(service.validate().status)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(met) == [200] * 7 + [503] * 5
