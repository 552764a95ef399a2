"""The service of today, and how it differs: no ids, no memory, the same events twice are billed twice."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.integration.sandbox.conftest import event_text, new_batch, seal

if TYPE_CHECKING:
    from tests.integration.sandbox.conftest import Service


def test_a_classic_batch_gets_three_fields(service: Service) -> None:
    reply = service.send_classic(event_text(), event_text(quantity="0.5", event_type="storage_gb_days", unit="gb_days"))
    assert reply.status == 200
    assert reply.json == {"accepted_count": 2, "rejected_count": 0, "errors": []}
    assert [(line["event_id"], line["batch_id"], line["quantity"]) for line in service.billed()] == [
        (None, None, "1"),
        (None, None, "0.5"),
    ]


def test_bad_events_are_counted_and_named(service: Service) -> None:
    reply = service.send_classic(event_text(quantity='"1"'), event_text(), event_text(unit="tokens"), "7").json
    assert (reply["accepted_count"], reply["rejected_count"]) == (1, 3)
    assert [error.partition(":")[0] for error in reply["errors"]] == ["event 0", "event 2", "event 3"]
    assert "quantity" in reply["errors"][0]
    assert len(service.billed()) == 1


@pytest.mark.parametrize("body", [b"{}", b'{"events": {}}', b'{"events": []}', b'{"events": null}', b"[]"])
def test_without_events_it_is_400(service: Service, body: bytes) -> None:
    reply = service.call("POST", "/api/v1/usage/batch", body)
    assert (reply.status, reply.headers["content-type"]) == (400, "text/plain; charset=utf-8")


def test_more_than_a_thousand_events_are_413(service: Service) -> None:
    assert service.send_classic(*[event_text()] * 1001).status == 413
    assert service.billed() == []
    assert service.send_classic(*[event_text()] * 1000).json["accepted_count"] == 1000


def test_the_same_events_twice_are_billed_twice(service: Service) -> None:
    text = event_text()
    assert [service.send_classic(text).status for _ in range(2)] == [200, 200]
    assert service.quantities() == ["1", "1"]


def test_classic_only_ignores_the_extension_and_bills_twice(service: Service) -> None:
    service.fault("classic_only")
    batch = new_batch(2, sha256="0" * 64)
    replies = [service.send(batch) for _ in range(2)]
    assert [reply.json for reply in replies] == [{"accepted_count": 2, "rejected_count": 0, "errors": []}] * 2
    assert [line["event_id"] for line in service.billed()] == batch.event_ids * 2
    assert {service.admin.times_billed()[event_id] for event_id in batch.event_ids} == {2}


def test_classic_only_has_no_calls_of_the_extension(service: Service) -> None:
    batch = new_batch()
    service.send(batch)
    service.fault("classic_only")
    for method, path in (
        ("GET", f"usage/batches/{batch.batch_id}"),
        ("POST", "usage/lookup"),
        ("GET", "usage/totals?start=2026-03-01T00:00:00Z&end=2026-03-02T00:00:00Z"),
    ):
        body = {"event_ids": []} if method == "POST" else None
        assert service.call(method, f"/api/v1/{path}", body).status == 404
    assert "server_time" not in service.validate().json
    assert set(service.validate(nonce="n").json) == {
        "is_valid",
        "license_mode",
        "enabled_growth_packs",
        "valid_until",
        "cameras_allowed",
    }


def test_a_service_upgraded_does_not_know_what_it_billed_without_ids(service: Service) -> None:
    batch = new_batch()
    service.fault("classic_only", times=1)
    service.send(batch)
    assert service.send(batch).json["results"][0]["status"] == "accepted"
    assert len(service.billed()) == 2


def test_refuse_extension_is_400_until_the_client_speaks_classic(service: Service) -> None:
    service.fault("refuse_extension")
    refused = service.send(seal([event_text(str(uuid4()))]))
    assert (refused.status, b"batch_id" in refused.body) == (400, True)
    assert service.validate(nonce="n").status == 400
    by_header = service.call(
        "POST", "/api/v1/usage/batch", f'{{"events": [{event_text()}]}}'.encode(), Idempotency_Key="k"
    )
    assert by_header.status == 400
    assert service.billed() == []
    assert service.send_classic(event_text()).json == {"accepted_count": 1, "rejected_count": 0, "errors": []}
    assert "sequence" not in service.validate().json


def test_a_partial_failure_of_the_service_of_today(service: Service) -> None:
    service.fault("partial", outcomes=["accepted", "rejected"], seed=1)
    reply = service.send_classic(*[event_text()] * 100).json
    assert 0 < reply["accepted_count"] < 100
    assert reply["accepted_count"] + reply["rejected_count"] == 100
    assert len(service.billed()) == reply["accepted_count"]
