"""The extension for usage: every event is billed once and for ever, and the ledger has it to the last digit."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from tests.integration.sandbox.conftest import event_text, new_batch, read, seal

if TYPE_CHECKING:
    from tests.integration.sandbox.conftest import Batch, Reply, Service

MARCH = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-31T23:59:59.999999Z"}


def statuses(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.body
    return [result["status"] for result in reply.json["results"]]


def test_a_batch_is_accepted_event_by_event(service: Service) -> None:
    batch = new_batch(3)
    reply = service.send(batch)
    assert reply.status == 200
    assert reply.json.pop("server_time").endswith("Z")
    assert {name: value for name, value in reply.json.items() if name != "server_time"} == {
        "accepted_count": 3,
        "rejected_count": 0,
        "errors": [],
        "batch_id": batch.batch_id,
        "results": [
            {"event_id": event_id, "status": "accepted", "code": "", "detail": ""} for event_id in batch.event_ids
        ],
    }
    assert [line["event_id"] for line in service.billed()] == batch.event_ids


def test_the_ledger_keeps_each_event_byte_for_byte(service: Service) -> None:
    texts = [
        event_text(str(uuid4()), quantity="1.50", resource_id="ü  {}[],:\"\\ '"),
        event_text(str(uuid4())).replace(": ", " :\t").replace(", ", "\n,  "),
    ]
    assert statuses(service.send(seal(texts))) == ["accepted", "accepted"]
    assert [line["event"] for line in service.billed()] == texts


def test_the_same_request_again_gets_the_same_results_and_bills_nothing(service: Service) -> None:
    batch = seal([event_text(str(uuid4())), event_text(str(uuid4()), unit="tokens")])
    first, second, third = (service.send(batch) for _ in range(3))
    assert statuses(first) == ["accepted", "rejected"]
    assert first.json["results"] == second.json["results"] == third.json["results"]
    assert (second.json["accepted_count"], second.json["rejected_count"]) == (1, 1)
    assert len(service.billed()) == 1


def test_an_event_in_another_batch_is_a_duplicate(service: Service) -> None:
    known = event_text(str(uuid4()))
    assert statuses(service.send(seal([known]))) == ["accepted"]
    new = event_text(str(uuid4()))
    assert statuses(service.send(seal([known, new, new]))) == ["duplicate", "accepted", "duplicate"]
    assert len(service.billed()) == 2


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        pytest.param({}, "", id="the-same"),
        pytest.param({"seq": 9}, "", id="at-another-place-of-the-stream"),
        pytest.param({"quantity": "1.000"}, "", id="written-otherwise"),
        pytest.param({"quantity": "2"}, "differs", id="another-quantity"),
        pytest.param({"tenant_id": "other"}, "differs", id="another-tenant"),
        pytest.param({"event_time": "2026-03-01T12:00:01Z"}, "differs", id="another-time"),
        pytest.param({"unit": "tokens"}, "differs", id="invalid-now"),
    ],
)
def test_a_known_id_is_a_duplicate_whatever_comes_under_it(
    service: Service, changed: dict[str, Any], code: str
) -> None:
    event_id = str(uuid4())
    service.send(seal([event_text(event_id)]))
    result = service.send(seal([event_text(event_id, **changed)])).json["results"][0]
    assert (result["status"], result["code"]) == ("duplicate", code)
    assert service.quantities() == ["1"]


def test_the_same_key_with_another_body_is_422(service: Service) -> None:
    batch_id = str(uuid4())
    first, other = new_batch(batch_id=batch_id), new_batch(batch_id=batch_id)
    assert statuses(service.send(first)) == ["accepted"]
    reply = service.send(other)
    assert (reply.status, reply.json["code"]) == (422, "key_reused")
    assert [line["event_id"] for line in service.billed()] == first.event_ids
    assert statuses(service.send(first)) == ["accepted"]


@pytest.mark.parametrize(
    ("batch", "status", "code"),
    [
        pytest.param(new_batch(sha256="0" * 64), 422, "sha256_mismatch", id="sha256"),
        pytest.param(new_batch(2, count=3), 422, "count_mismatch", id="count"),
        pytest.param(new_batch(sha256="0" * 63), 400, None, id="no-sha256"),
        pytest.param(new_batch(stream="S"), 400, None, id="no-stream"),
        pytest.param(new_batch(first_seq=-1), 400, None, id="negative-seq"),
        pytest.param(new_batch(last_seq=2**63), 400, None, id="seq-too-large"),
        pytest.param(new_batch(batch_id="not-a-uuid"), 400, None, id="no-batch-id"),
        pytest.param(seal([event_text()]), 400, None, id="event-without-id"),
        pytest.param(seal([event_text("NOT-A-UUID")]), 400, None, id="event-id-not-a-uuid"),
        pytest.param(seal(["5"]), 400, None, id="event-not-an-object"),
        pytest.param(seal([]), 400, None, id="no-events"),
        pytest.param(new_batch(1001), 413, None, id="too-many"),
    ],
)
def test_a_false_seal_stores_nothing_and_leaves_the_key_free(
    service: Service, batch: Batch, status: int, code: str | None
) -> None:
    reply = service.send(batch)
    assert reply.status == status, reply.body
    assert reply.headers["content-type"].startswith("application/json" if code else "text/plain")
    assert code is None or reply.json["code"] == code
    assert service.billed() == []
    assert service.call("GET", f"/api/v1/usage/batches/{batch.batch_id}").status == 404
    if status == 422:
        assert statuses(service.send(new_batch(batch_id=batch.batch_id))) == ["accepted"]


def test_one_byte_changed_on_the_way_is_noticed(service: Service) -> None:
    batch = new_batch(2)
    for changed in (batch.body.replace(b'"quantity": 1', b'"quantity": 9', 1), batch.body.replace(b": ", b":  ")):
        reply = service.call("POST", "/api/v1/usage/batch", changed, **batch.headers)
        assert (reply.status, reply.json["code"]) == (422, "sha256_mismatch")
    assert service.billed() == []


def test_the_events_are_found_in_the_bytes_wherever_they_stand(service: Service) -> None:
    """Strings that look like the array, other members behind it, odd white space."""
    text = event_text(str(uuid4()), resource_id='"events": [] ]}', metadata={"events": [1, [2]]})
    events = f"[ \n{text}\t ]"
    fields = json.loads(seal([text]).body) | {
        "sha256": hashlib.sha256(events.encode()).hexdigest(),
        "note": '"events":[',
    }
    del fields["events"]
    body = f' {{ "events"\r\n: {events} , {json.dumps(fields)[1:]} \n'.encode()
    reply = service.call("POST", "/api/v1/usage/batch", body, Idempotency_Key=fields["batch_id"])
    assert statuses(reply) == ["accepted"]
    assert service.billed()[0]["event"] == text


@pytest.mark.parametrize("key", [None, "", "00000000-0000-4000-8000-000000000000"])
def test_the_key_must_be_the_batch_id(service: Service, key: str | None) -> None:
    headers = {} if key is None else {"Idempotency_Key": key}
    reply = service.call("POST", "/api/v1/usage/batch", new_batch().body, **headers)
    assert (reply.status, service.billed()) == (400, [])


def test_a_key_on_a_classic_body_is_refused_rather_than_ignored(service: Service) -> None:
    body = f'{{"events": [{event_text()}]}}'.encode()
    reply = service.call("POST", "/api/v1/usage/batch", body, Idempotency_Key=str(uuid4()))
    assert (reply.status, service.billed()) == (400, [])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"tenant_id": ...}, "bad_tenant_id", id="without-tenant"),
        pytest.param({"tenant_id": ""}, "bad_tenant_id", id="empty-tenant"),
        pytest.param({"event_type": 5}, "bad_event_type", id="type-not-text"),
        pytest.param({"unit": "tokens"}, "unit_mismatch", id="unit-of-another-meter"),
        pytest.param({"quantity": '"1"'}, "bad_quantity", id="quantity-as-text"),
        pytest.param({"quantity": "true"}, "bad_quantity", id="quantity-true"),
        pytest.param({"quantity": "null"}, "bad_quantity", id="quantity-null"),
        pytest.param({"quantity": "1e18"}, "bad_quantity", id="quantity-too-large"),
        pytest.param({"quantity": "-1000000000000000000"}, "bad_quantity", id="quantity-too-small"),
        pytest.param({"quantity": "0.0000000001"}, "bad_quantity", id="ten-decimals"),
        pytest.param({"quantity": "1e999999999"}, "bad_quantity", id="exponent-bomb"),
        pytest.param({"quantity": "1e-999999999"}, "bad_quantity", id="negative-exponent-bomb"),
        pytest.param({"event_time": "2026-03-01 12:00:00Z"}, "bad_event_time", id="time-with-a-space"),
        pytest.param({"event_time": "2026-03-01T12:00:00"}, "bad_event_time", id="time-without-offset"),
        pytest.param({"event_time": "2026-02-30T12:00:00Z"}, "bad_event_time", id="no-such-day"),
        pytest.param({"event_time": "9999-12-31T23:59:59-01:00"}, "bad_event_time", id="beyond-the-last-year"),
        pytest.param({"metadata": []}, "bad_metadata", id="metadata-not-an-object"),
        pytest.param({"seq": -1}, "bad_seq", id="negative-seq"),
        pytest.param({"camera_id": ...}, "bad_camera_id", id="without-camera"),
    ],
)
def test_a_bad_event_is_rejected_by_itself(service: Service, fields: dict[str, Any], code: str) -> None:
    bad, good = str(uuid4()), str(uuid4())
    reply = service.send(seal([event_text(bad, **fields), event_text(good)])).json
    assert [(one["event_id"], one["status"], one["code"]) for one in reply["results"]] == [
        (bad, "rejected", code),
        (good, "accepted", ""),
    ]
    assert (reply["accepted_count"], reply["rejected_count"]) == (1, 1)
    assert reply["results"][0]["detail"]
    assert reply["errors"] == [f"{bad}: {reply['results'][0]['detail']}"]
    assert [line["event_id"] for line in service.billed()] == [good]
    assert statuses(service.send(seal([event_text(bad)]))) == ["accepted"], "a rejected event was never billed"


@pytest.mark.parametrize("event_type", ["frames_inspected", "plugin.meter"])
def test_a_meter_of_a_plugin_is_billed_in_its_own_unit(service: Service, event_type: str) -> None:
    assert statuses(service.send(seal([event_text(str(uuid4()), event_type=event_type, unit="frames")]))) == [
        "accepted"
    ]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("9007199254740993", "9007199254740993"),
        ("0.1", "0.1"),
        ("0.123456789", "0.123456789"),
        ("999999999999999999.999999999", "999999999999999999.999999999"),
        ("-999999999999999999.999999999", "-999999999999999999.999999999"),
        ("1e17", "100000000000000000"),
        ("12.500000000000000000", "12.5"),
        ("0", "0"),
        ("0E-9", "0"),
        ("1e-9", "0.000000001"),
    ],
)
def test_quantities_are_exact(service: Service, written: str, kept: str) -> None:
    assert statuses(service.send(seal([event_text(str(uuid4()), quantity=written)]))) == ["accepted"]
    assert service.quantities() == [kept]


def storage(quantity: str, **fields: object) -> str:
    return event_text(
        str(uuid4()), quantity=quantity, event_type="storage_gb_days", unit="gb_days", **{"tenant_id": "t", **fields}
    )


def report(service: Service, tenant: str = "t", **period: str) -> Reply:
    return service.call("GET", f"/api/v1/billing/usage/{tenant}?{urlencode(MARCH | period)}")


def test_sums_are_exact_and_counts_are_cut(service: Service) -> None:
    calls = [
        event_text(str(uuid4()), quantity=q, tenant_id="t") for q in ("9007199254740993", "9007199254740993", "0.9")
    ]
    stored = [storage(q) for q in ("0.1", "0.2", "999999999999999999.999999999", "-999999999999999999.999999999")]
    others = [event_text(str(uuid4()), event_type="email_sent", unit="count", tenant_id="t")]
    service.send(seal(calls + stored + others))
    assert report(service).body == (
        b'{"api_calls":18014398509481986,"llm_tokens_used":0,"sms_sent":0,"agent_executions":0,"storage_gb_days":0.3}'
    )


def test_negative_sums_are_cut_towards_zero(service: Service) -> None:
    service.send(seal([event_text(str(uuid4()), quantity="-2.9", tenant_id="t")]))
    assert report(service).json["api_calls"] == -2


def test_sums_beyond_64_bits(service: Service) -> None:
    texts = [storage("999999999999999999.999999999") for _ in range(500)]
    service.send(seal(texts))
    assert report(service).json["storage_gb_days"] == Decimal("999999999999999999.999999999") * 500


def test_the_bounds_of_a_period_are_inclusive_and_by_event_time(service: Service) -> None:
    for moment in ("2026-03-01T00:00:00Z", "2026-03-31T23:59:59.999999Z", "2026-04-01T01:00:00+02:00"):
        service.send(seal([storage("1", event_time=moment)]))
    for moment in ("2026-02-28T23:59:59.999999Z", "2026-04-01T00:00:00Z", "2026-03-01T01:00:00+02:00"):
        service.send(seal([storage("100", event_time=moment)]))
    assert report(service).json["storage_gb_days"] == 3
    point = {"start": "2026-03-01T02:00:00+02:00", "end": "2026-03-01T00:00:00Z"}
    assert report(service, **point).json["storage_gb_days"] == 1


def test_another_tenant_and_another_account_are_not_in_the_sum(service: Service) -> None:
    other = f"{service.tenant}-other"
    service.admin.add_tenant(other, f"key-of-{other}")
    neighbor = type(service)(process=service.process, tenant=other, key=f"key-of-{other}")
    batch = seal([storage("1")])
    assert statuses(service.send(batch)) == ["accepted"]
    assert statuses(neighbor.send(batch)) == ["accepted"], "ids and keys are an account's own"
    service.send(seal([storage("10", tenant_id="u")]))
    assert [report(one).json["storage_gb_days"] for one in (service, neighbor)] == [1, 1]
    assert (
        neighbor.call("POST", "/api/v1/usage/lookup", {"event_ids": batch.event_ids}).json["results"][0]["status"]
        == "accepted"
    )
    stranger = seal([storage("1")])
    service.send(stranger)
    assert neighbor.call("GET", f"/api/v1/usage/batches/{stranger.batch_id}").status == 404


@pytest.mark.parametrize(
    "query",
    [
        "",
        "start=2026-03-01T00:00:00Z",
        "start=2026-03-01&end=2026-03-02",
        "start=2026-03-01T00:00:00+00:00&end=2026-03-02T00:00:00Z",
    ],
    ids=["nothing", "no-end", "dates", "a-plus-that-became-a-space"],
)
def test_a_period_that_is_none_is_400(service: Service, query: str) -> None:
    for path in ("billing/usage/t", "usage/totals"):
        reply = service.call("GET", f"/api/v1/{path}?{query}")
        assert (reply.status, b"RFC 3339" in reply.body) == (400, True)


def test_totals_by_meter_and_day(service: Service) -> None:
    texts = [
        storage("0.1", event_time="2026-03-01T23:30:00-01:00"),
        storage("0.2", event_time="2026-03-02T00:30:00Z"),
        storage("5", event_time="2026-03-01T00:30:00Z"),
        event_text(str(uuid4()), tenant_id="t", event_time="2026-03-02T00:00:00Z"),
    ]
    service.send(seal(texts))
    service.send(seal(texts[:1]))
    totals = service.call("GET", f"/api/v1/usage/totals?{urlencode(MARCH)}").json["totals"]
    assert [tuple(row.values()) for row in totals] == [
        ("t", "storage_gb_days", "2026-03-01", 1, 5),
        ("t", "api_call", "2026-03-02", 1, 1),
        ("t", "storage_gb_days", "2026-03-02", 2, Decimal("0.3")),
    ]


def test_a_batch_can_be_asked_for(service: Service) -> None:
    batch = seal([event_text(str(uuid4())), event_text(str(uuid4()), unit="tokens")])
    reply = service.send(batch)
    stored = service.call("GET", f"/api/v1/usage/batches/{batch.batch_id}").json
    assert stored["batch_id"] == batch.batch_id
    assert stored["results"] == reply.json["results"]
    assert (stored["sha256"], stored["first_seq"], stored["last_seq"]) == (batch.sha256, 1, 2)
    missing = service.call("GET", f"/api/v1/usage/batches/{uuid4()}")
    assert (missing.status, missing.headers["content-type"]) == (404, "text/plain; charset=utf-8")


def test_events_can_be_looked_up(service: Service) -> None:
    batch, unknown = new_batch(1), str(uuid4())
    service.send(batch)
    reply = service.call("POST", "/api/v1/usage/lookup", {"event_ids": [unknown, *batch.event_ids]})
    assert reply.json["results"] == [
        {"event_id": unknown, "status": "unknown", "batch_id": None},
        {"event_id": batch.event_ids[0], "status": "accepted", "batch_id": batch.batch_id},
    ]
    assert service.call("POST", "/api/v1/usage/lookup", {"event_ids": ["x"]}).status == 400
    assert service.call("POST", "/api/v1/usage/lookup", {"event_ids": [unknown] * 1001}).status == 400


def test_a_broken_chain_is_shown_and_nothing_is_rejected_for_it(service: Service) -> None:
    stream = str(uuid4())
    first = new_batch(stream=stream)
    second = new_batch(stream=stream, first_seq=2, prev_sha256=first.sha256)
    third = new_batch(stream=stream, first_seq=3, prev_sha256=second.sha256)
    forgetful = new_batch(stream=stream, first_seq=4)
    stranger = new_batch(stream=str(uuid4()), first_seq=5, prev_sha256=third.sha256)
    for batch in (first, third, forgetful, stranger):
        assert statuses(service.send(batch)) == ["accepted"]
    assert [chain(service, one) for one in (first, third, forgetful, stranger)] == [
        "start",
        "broken",
        "broken",
        "broken",
    ]
    assert statuses(service.send(second)) == ["accepted"]
    assert [chain(service, one) for one in (second, third)] == ["linked", "linked"], "a link that came late mends it"


def chain(service: Service, batch: Batch) -> str:
    (found,) = [one["chain"] for one in service.admin.batches() if one["batch_id"] == batch.batch_id]
    return str(found)


def test_many_clients_with_one_key_at_once_bill_once(service: Service) -> None:
    batch = new_batch(200)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: service.send(batch), range(24)))
    assert {reply.status for reply in replies} <= {200, 409}
    assert all(reply.json["code"] == "in_progress" for reply in replies if reply.status == 409)
    assert all(statuses(reply) == ["accepted"] * 200 for reply in replies if reply.status == 200)
    assert [line["event_id"] for line in service.billed()] == batch.event_ids


def test_many_batches_with_the_same_events_at_once_bill_each_once(service: Service) -> None:
    texts = [event_text(str(uuid4())) for _ in range(50)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: service.send(seal(texts)), range(16)))
    assert sorted(status for reply in replies for status in statuses(reply)) == ["accepted"] * 50 + ["duplicate"] * 750
    assert len(service.billed()) == 50


@pytest.mark.parametrize(("size", "status"), [(1024 * 1024, 200), (1024 * 1024 + 1, 413)])
def test_a_body_is_at_most_one_mebibyte(service: Service, size: int, status: int) -> None:
    batch = new_batch(2)
    body = batch.body + b" " * (size - len(batch.body))
    connection = service.connection()
    headers = {"Authorization": f"Bearer {service.key}"} | batch.headers
    for encode_chunked in (False, True):
        chunks = (body[start : start + 65536] for start in range(0, size, 65536))
        connection.request(
            "POST", "/api/v1/usage/batch", chunks if encode_chunked else body, headers, encode_chunked=encode_chunked
        )
        reply = read(connection)
        assert reply.status == status
    connection.close()
    assert len(service.billed()) == (2 if status == 200 else 0)


def test_a_batch_of_a_thousand(service: Service) -> None:
    batch = new_batch(1000)
    assert statuses(service.send(batch)) == ["accepted"] * 1000
    assert len(service.billed()) == 1000
