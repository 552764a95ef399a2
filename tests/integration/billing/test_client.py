"""``HttpBilling`` against scripted servers: what goes out, how often, and that nothing leaks."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.delivery import TransportFailure, WireBatch
from tapi_agent.domain.errors import ConfigurationError, IntegrityError, RejectedError, TapiError, UnavailableError
from tapi_agent.domain.ids import BatchId, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, Subject
from tapi_agent.testing.billing import PLAIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tapi_agent.adapters.billing import HttpBilling

KEY = "s3cret-key-of-the-tests"
SUBJECT = Subject(device_id=DeviceId("device-1"), tenant_id=TenantId("tenant"), camera_id=CameraId("cam-1"))
BATCH_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
EVENT_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
BATCH = WireBatch(batch_id=BatchId(BATCH_ID), body=b'{"events": [{"quantity": 0.10}] }')
LICENSE = {"is_valid": True, "license_mode": "base", "enabled_growth_packs": None}


def http(status: int, document: object = None, **headers: str) -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    fields = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def script(*replies: bytes) -> Callable[[Any], Awaitable[None]]:
    """Answer requests, on however many connections, with these replies in turn; the last one goes on."""
    queue = itertools.chain(replies, itertools.repeat(replies[-1]))

    async def handler(visit: Any) -> None:
        while True:
            await visit.request()
            await visit.send(next(queue))

    return handler


def fail_then(count: int, how: str, reply: bytes) -> Callable[[Any], Awaitable[None]]:
    """Fail ``count`` times, then answer."""
    left = itertools.chain(itertools.repeat(how, count), itertools.repeat("answer"))

    async def handler(visit: Any) -> None:
        await visit.request()
        match next(left):
            case "answer":
                await visit.send(reply)
            case "reset":
                visit.reset()
            case status:
                await visit.send(http(int(status)))

    return handler


# --- what goes out -------------------------------------------------------------------------------------------------


async def test_validate_asks_as_the_contract_says(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, LICENSE)))
    await billing_at(served.url).validate(SUBJECT, PLAIN)
    [request] = served.received
    assert request.line == "POST /api/v1/licenses/validate HTTP/1.1"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "tapi-agent/1.2.3"
    classic = {"camera_id": "cam-1", "tenant_id": "tenant", "device_id": "device-1"}
    assert json.loads(request.body) == classic | {
        "fingerprint": "device-1",
        "agent_version": "1.2.3",
        "sequence": 0,
        "clock": {"wall": "2027-03-01T12:00:00Z", "trusted": "2027-03-01T12:00:00Z"},
    }


async def test_what_asks_for_a_lease_says_it_all(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, LICENSE)))
    question = replace(PLAIN, nonce="0f" * 16, sequence=7, components={"disk": "ab" * 32})
    await billing_at(served.url).validate(SUBJECT, question)
    said = json.loads(served.received[0].body)
    assert (said["nonce"], said["sequence"], said["components"]) == ("0f" * 16, 7, {"disk": "ab" * 32})


@pytest.mark.parametrize("dialect", ["auto", "extended", "classic"])
async def test_a_nonce_goes_out_in_every_dialect_and_is_never_taken_back(
    dialect: str, serve: Any, billing_at: Any
) -> None:
    served = await serve(script(http(400)))
    billing = billing_at(served.url, dialect=dialect)
    for _ in range(2):
        with pytest.raises(RejectedError):
            await billing.validate(SUBJECT, replace(PLAIN, nonce="0f" * 16))
    assert ["nonce" in json.loads(request.body) for request in served.received] == [True, True]


# --- leases and reports --------------------------------------------------------------------------------------------

LEASE = "-----BEGIN MACHINE FILE-----\nc2VjcmV0LXRoaW5n\n-----END MACHINE FILE-----\n"
REPORT = {
    "license_mode": "base",
    "is_valid": True,
    "cameras_allowed": 8,
    "sequence": 5,
    "server_time": "2027-03-01T12:00:00Z",
    "cameras": [{"camera_id": "cam-1", "mode": "trial", "is_valid": True, "enabled_growth_packs": ["retail"]}],
}


async def test_a_lease_comes_as_text_and_stays_out_of_what_people_see(serve: Any, billing_at: Any) -> None:
    body = json.dumps({"is_valid": True, "license_mode": "base", "lease": LEASE}).encode()
    served = await serve(script(http(200, body)))
    reply = await billing_at(served.url).validate(SUBJECT, PLAIN)
    assert reply.lease == LEASE
    assert json.loads(reply.raw) == {"is_valid": True, "license_mode": "base", "lease": "***"}
    assert "c2VjcmV0" not in repr(reply)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(json.dumps({"lease": LEASE, "is_valid": True}).encode()[:-5], id="cut short"),
        pytest.param(json.dumps({"lease": [LEASE], "is_valid": True, "license_mode": "base"}).encode(), id="no text"),
        pytest.param(
            json.dumps({"is_valid": True, "license_mode": "base", "lease": LEASE * 1000}).encode(), id="too long"
        ),
        pytest.param(LEASE.encode(), id="bare"),
    ],
)
async def test_no_error_shows_a_lease(body: bytes, serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, body)))
    with pytest.raises(TapiError) as caught:
        await billing_at(served.url).validate(SUBJECT, PLAIN)
    assert "c2VjcmV0" not in f"{caught.value} {caught.value!r} {caught.value.fix}"


async def test_the_report_is_asked_for_by_tenant(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, json.dumps(REPORT).encode())))
    report = await billing_at(served.url).license_report(TenantId("a tenant/7"))
    assert served.received[0].line == "GET /api/v1/billing/license/a%20tenant%2F7 HTTP/1.1"
    assert (report.tenant.mode, report.tenant.sequence) == (LicenseMode.BASE, 5)
    camera = report.cameras["cam-1"]
    assert (camera.mode, camera.packs, camera.cameras_allowed) == (LicenseMode.TRIAL, ("retail",), 8)
    assert json.loads(camera.raw) == REPORT["cameras"][0]
    assert json.loads(report.tenant.raw) == {name: word for name, word in REPORT.items() if name != "cameras"}


async def test_no_report_is_offered(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(404)))
    assert await billing_at(served.url).license_report(TenantId("tenant")) is None


async def test_a_report_that_is_not_read_is_no_answer(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(503)))
    with pytest.raises(UnavailableError):
        await billing_at(served.url).license_report(TenantId("tenant"))


async def test_the_classic_dialect_sends_nothing_more(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, LICENSE)))
    await billing_at(served.url, dialect="classic").validate(SUBJECT, PLAIN)
    assert set(json.loads(served.received[0].body)) == {"camera_id", "tenant_id", "device_id"}


async def test_heartbeat(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, {"status": "ok", "next_heartbeat_in_seconds": 600})))
    cameras = [CameraId("cam-1"), CameraId("cam-2")]
    reply = await billing_at(served.url).heartbeat(tenant_id=TenantId("tenant"), cameras=cameras, tier="managed")
    assert reply.next_heartbeat == timedelta(minutes=10)
    [request] = served.received
    assert request.line == "POST /api/v1/heartbeat HTTP/1.1"
    assert json.loads(request.body) == {
        "device_id": "device-1",
        "tenant_id": "tenant",
        "active_camera_ids": ["cam-1", "cam-2"],
        "management_tier": "managed",
    }


async def test_a_batch_goes_out_byte_for_byte_under_its_key(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, {"accepted_count": 1, "rejected_count": 0, "errors": []}, X_A="b")))
    reply = await billing_at(served.url).send_usage(BATCH)
    [request] = served.received
    assert request.line == "POST /api/v1/usage/batch HTTP/1.1"
    assert request.body == BATCH.body
    assert request.headers["idempotency-key"] == str(BATCH_ID)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(BATCH.body))
    assert "transfer-encoding" not in request.headers
    assert (reply.status, reply.failure, json.loads(reply.body)["accepted_count"]) == (200, None, 1)


async def test_a_classic_batch_goes_out_without_a_key(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, {})))
    await billing_at(served.url).send_usage(replace(BATCH, dialect=Dialect.CLASSIC))
    assert "idempotency-key" not in served.received[0].headers
    assert served.received[0].body == BATCH.body


async def test_batches_of_many_pieces_arrive_whole(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, {})))
    body = bytes(range(256)) * 4096
    await billing_at(served.url).send_usage(WireBatch(batch_id=BatchId(BATCH_ID), body=body))
    assert served.received[0].body == body


async def test_each_batch_has_a_connection_of_its_own_and_license_calls_share_one(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, LICENSE)))
    billing = billing_at(served.url)
    for _ in range(3):
        await billing.validate(SUBJECT, PLAIN)
    assert served.connections == 1
    for _ in range(3):
        await billing.send_usage(BATCH)
    assert served.connections == 4


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/api/v1", "/health"), ("/api/v1/", "/health"), ("/billing/api/v1", "/billing/health"), ("/v2", "/health")],
)
async def test_health_is_asked_at_the_root(path: str, asked: str, serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, {"status": "healthy"})))
    await billing_at(served.url.replace("/api/v1", path)).health()
    assert served.received[0].line == f"GET {asked} HTTP/1.1"
    assert served.received[0].body == b""


@pytest.mark.parametrize("reply", [http(200, {"status": "starting"}), http(503), http(200, b"OK")])
async def test_a_service_that_is_not_healthy_is_unavailable_at_the_first_try(
    reply: bytes, serve: Any, billing_at: Any
) -> None:
    served = await serve(script(reply))
    with pytest.raises(UnavailableError):
        await billing_at(served.url, retries=3).health()
    assert len(served.received) == 1


async def test_find_batch(serve: Any, billing_at: Any) -> None:
    document = {"batch_id": str(BATCH_ID), "results": [{"event_id": str(EVENT_ID), "status": "duplicate"}]}
    served = await serve(script(http(200, document)))
    record = await billing_at(served.url).find_batch(BATCH_ID)
    assert served.received[0].line == f"GET /api/v1/usage/batches/{BATCH_ID} HTTP/1.1"
    assert record is not None
    assert record.results == {EVENT_ID: "duplicate"}


async def test_a_batch_never_stored_is_none(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(404, {"error": "no such batch"})))
    assert await billing_at(served.url).find_batch(BATCH_ID) is None


async def test_find_batch_hides_no_other_refusal(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(400, b"not a UUID")))
    with pytest.raises(RejectedError):
        await billing_at(served.url).find_batch(BATCH_ID)


async def test_usage_sums_quotes_the_tenant_and_speaks_utc(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, b'{"api_calls": 7, "storage_gb_days": 1.000000001}')))
    start = datetime(2026, 3, 1, 11, tzinfo=timezone(timedelta(hours=11)))
    end = datetime(2026, 3, 2, 0, 0, 0, 1, tzinfo=UTC)
    sums = await billing_at(served.url).usage_sums(TenantId("a/b?c=ü"), start=start, end=end)
    assert sums == {"api_calls": Decimal(7), "storage_gb_days": Decimal("1.000000001")}
    window = "start=2026-03-01T00%3A00%3A00Z&end=2026-03-02T00%3A00%3A00.000001Z"
    assert served.received[0].line == f"GET /api/v1/billing/usage/a%2Fb%3Fc%3D%C3%BC?{window} HTTP/1.1"


# --- how often -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "500", "503", "429", "408", "425"])
async def test_what_may_pass_is_asked_again(how: str, serve: Any, billing_at: Any) -> None:
    served = await serve(fail_then(1, how, http(200, LICENSE)))
    assert (await billing_at(served.url, retries=1).validate(SUBJECT, PLAIN)).is_valid
    assert len(served.received) == 2


async def test_one_try_and_three_retries_after_100_200_and_400_ms(serve: Any, billing_at: Any) -> None:
    served = await serve(fail_then(9, "502", b""))
    with pytest.raises(UnavailableError, match="502"):
        await billing_at(served.url, retries=3).validate(SUBJECT, PLAIN)
    pauses = [later - earlier for earlier, later in itertools.pairwise(served.arrived)]
    assert len(pauses) == 3
    for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True):
        assert pause >= least - 0.005


async def test_the_pauses_stop_growing(billing_at: Any) -> None:
    pauses = billing_at("http://127.0.0.1:9/api/v1", retries=8)._pauses
    assert [pause.total_seconds() for pause in pauses] == [0.1, 0.2, 0.4, 0.8, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(http(401), id="key"),
        pytest.param(http(302, Location="/login"), id="redirect"),
        pytest.param(http(200, b"<html>"), id="page"),
        pytest.param(http(200, {}), id="malformed"),
        pytest.param(http(404), id="unknown"),
        pytest.param(http(400), id="refused"),
        pytest.param(http(503, Retry_After="1"), id="asks for a longer pause than the next"),
    ],
)
async def test_what_does_not_pass_within_a_second_is_asked_once(reply: bytes, serve: Any, billing_at: Any) -> None:
    served = await serve(script(reply))
    with pytest.raises(TapiError):
        await billing_at(served.url, retries=3, dialect="classic").validate(SUBJECT, PLAIN)
    assert len(served.received) == 1


async def test_a_hung_service_costs_one_timeout(serve: Any, billing_at: Any) -> None:
    async def hangs(visit: Any) -> None:
        await visit.request()
        await asyncio.Event().wait()

    served = await serve(hangs)
    with pytest.raises(UnavailableError, match="in time"):
        await billing_at(served.url, retries=3, timeout=timedelta(milliseconds=300)).validate(SUBJECT, PLAIN)
    assert len(served.received) == 1


@pytest.mark.parametrize("status", [400, 422])
async def test_auto_falls_back_to_classic_for_good(status: int, serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(status, b"unknown field"), http(200, LICENSE)))
    billing = billing_at(served.url)
    assert (await billing.validate(SUBJECT, PLAIN)).is_valid
    assert (await billing.validate(SUBJECT, PLAIN)).is_valid
    assert ["agent_version" in json.loads(request.body) for request in served.received] == [True, False, False]


async def test_a_request_refused_in_both_dialects_proves_nothing(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(400), http(400), http(200, LICENSE)))
    billing = billing_at(served.url)
    with pytest.raises(RejectedError):
        await billing.validate(SUBJECT, PLAIN)
    assert (await billing.validate(SUBJECT, PLAIN)).is_valid
    assert "agent_version" in json.loads(served.received[-1].body)


@pytest.mark.parametrize(("dialect", "status"), [("extended", 400), ("auto", 404)])
async def test_no_second_question_without_need(dialect: str, status: int, serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(status)))
    with pytest.raises(RejectedError):
        await billing_at(served.url, dialect=dialect).validate(SUBJECT, PLAIN)
    assert len(served.received) == 1


# --- nothing leaks -------------------------------------------------------------------------------------------------


async def test_the_key_shows_nowhere(serve: Any, billing_at: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def echoes(visit: Any) -> None:
        request = await visit.request()
        page = f"<pre>{request.headers['authorization']}</pre>".encode()
        await visit.send(http(statuses.pop(0), page))

    statuses = [400, 200, 404, 400]
    served = await serve(echoes)
    billing = billing_at(served.url, dialect="classic")
    caplog.set_level(logging.DEBUG)
    for _ in range(3):
        with pytest.raises(TapiError) as caught:
            await billing.validate(SUBJECT, PLAIN)
        assert "***" in str(caught.value)
        assert KEY not in f"{caught.value!r} {caught.value.fix}"
    assert KEY.encode() not in (await billing.send_usage(BATCH)).body
    assert KEY not in caplog.text
    assert KEY not in repr(billing)


async def test_a_captive_portal_leaves_no_cookie(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, LICENSE, Set_Cookie="portal=1")))
    billing = billing_at(served.url)
    await billing.validate(SUBJECT, PLAIN)
    await billing.validate(SUBJECT, PLAIN)
    assert "cookie" not in served.received[1].headers


async def test_a_redirect_is_not_followed(serve: Any, billing_at: Any) -> None:
    portal = await serve(script(http(200, LICENSE)))
    served = await serve(script(http(307, Location=portal.url)))
    billing = billing_at(served.url)
    with pytest.raises(UnavailableError):
        await billing.validate(SUBJECT, PLAIN)
    assert (await billing.send_usage(BATCH)).status == 307
    assert portal.connections == 0


async def test_loopback_is_never_asked_through_a_proxy(
    serve: Any, billing_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, served = await serve(script(http(502))), await serve(script(http(200, LICENSE)))
    monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/api/v1"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert (await billing_at(served.url).validate(SUBJECT, PLAIN)).is_valid
    assert proxy.connections == 0


async def test_another_machine_is_asked_through_the_proxy(
    serve: Any, billing_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await serve(script(http(200, LICENSE)))
    monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/api/v1"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert (await billing_at("http://billing.invalid/api/v1").validate(SUBJECT, PLAIN)).is_valid
    assert proxy.received[0].line == "POST http://billing.invalid/api/v1/licenses/validate HTTP/1.1"


async def test_a_proxy_that_refuses_the_tunnel_has_passed_nothing_on(
    serve: Any, billing_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await serve(script(http(407)))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.removesuffix("/api/v1"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    reply = await billing_at("https://billing.invalid/api/v1").send_usage(BATCH)
    assert (reply.failure, reply.written) == (TransportFailure.REFUSED, False)


@pytest.mark.parametrize(
    "proxy", ["socks5://me:s3cret@10.0.0.1", "gopher://me:s3cret@10.0.0.1", "http://me:s3cret@[::1"]
)
def test_a_proxy_that_can_never_work_says_so(proxy: str, monkeypatch: pytest.MonkeyPatch, billing_at: Any) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        billing_at("https://billing.example/api/v1")
    assert "s3cret" not in str(caught.value)


async def test_the_site_can_bring_its_own_ca(
    serve: Any, billing_at: Any, self_signed: Any, self_signed_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await serve(script(http(200, LICENSE)), tls=self_signed_server)
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed[0]))
    assert (await billing_at(served.url, verify=None).validate(SUBJECT, PLAIN)).is_valid


@pytest.mark.parametrize("how", ["timeouts", "cancellations"])
async def test_what_is_given_up_blocks_no_later_call(how: str, serve: Any, billing_at: Any) -> None:
    healed = asyncio.Event()

    async def hangs_until_healed(visit: Any) -> None:
        await visit.request()
        await (visit.send(http(200, LICENSE)) if healed.is_set() else visit.reader.read())

    served = await serve(hangs_until_healed)
    billing = billing_at(served.url, timeout=timedelta(seconds=1))
    calls = [asyncio.create_task(billing.validate(SUBJECT, PLAIN)) for _ in range(60)]
    for call in calls if how == "cancellations" else []:
        await asyncio.sleep(0)  # so that each is cancelled one step further on its way
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {UnavailableError, asyncio.CancelledError}
    healed.set()
    assert (await billing.validate(SUBJECT, PLAIN)).is_valid


async def test_a_flood_is_cut_off_early(serve: Any, billing_at: Any) -> None:
    sent = 0

    async def floods(visit: Any) -> None:
        nonlocal sent
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await visit.send(b" " * 2**16)
            sent += 2**16

    served = await serve(floods)
    tracemalloc.start()
    try:
        reply = await billing_at(served.url).send_usage(BATCH)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reply.failure is TransportFailure.RESET
    assert peak < 24 * 2**20
    assert sent < 24 * 2**20


async def test_integrity_is_not_retried_and_names_the_field(serve: Any, billing_at: Any) -> None:
    served = await serve(script(http(200, LICENSE | {"license_mode": "gold"})))
    with pytest.raises(IntegrityError, match="license_mode is 'gold', the contract says trial or base"):
        await billing_at(served.url, retries=3).validate(SUBJECT, PLAIN)
    assert len(served.received) == 1


async def test_an_exchange_ends_when_the_client_is_closed(serve: Any, billing_at: Any) -> None:
    arrived = asyncio.Event()

    async def hangs(visit: Any) -> None:
        await visit.request()
        arrived.set()
        await asyncio.Event().wait()

    served = await serve(hangs)
    billing: HttpBilling = billing_at(served.url)
    sending = asyncio.create_task(billing.send_usage(BATCH))
    await arrived.wait()
    await billing.close()
    reply = await asyncio.wait_for(sending, 5)
    assert (reply.failure, reply.written) == (TransportFailure.RESET, True)


async def test_a_license_comes_with_the_reply_as_it_came_but_for_the_key(serve: Any, billing_at: Any) -> None:
    body = b'{ "is_valid": true, "license_mode":"base", "n": 1.50, "echo": "Bearer ' + KEY.encode() + b'" }'
    served = await serve(script(http(200, body)))
    reply = await billing_at(served.url).validate(SUBJECT, PLAIN)
    assert reply.raw == '{ "is_valid": true, "license_mode":"base", "n": 1.50, "echo": "Bearer ***" }'
