"""The "no answer" matrix (2-licensing, issue 4): every evil the wire can do, on real sockets.

Each row says what a license call raises and what a usage batch is told about the same evil.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tapi_agent.domain.delivery import TransportFailure, UsageReply, WireBatch
from tapi_agent.domain.errors import IntegrityError, RejectedError, TapiError, UnavailableError
from tapi_agent.domain.ids import BatchId, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, Subject
from tapi_agent.testing.billing import PLAIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tapi_agent.adapters.billing import HttpBilling

SUBJECT = Subject(device_id=DeviceId("device-1"), tenant_id=TenantId("tenant"), camera_id=CameraId("cam-1"))
BATCH = WireBatch(batch_id=BatchId(UUID("01890a5d-ac96-774b-bcce-b302099a8057")), body=b'{"events":[]}')
LICENSE = json.dumps({"is_valid": True, "license_mode": "base", "enabled_growth_packs": None}).encode()
SOON = timedelta(milliseconds=300)


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    fields = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answers(raw: bytes) -> Callable[[Any], Awaitable[None]]:
    """Read the request, send these bytes, hang up."""

    async def handler(visit: Any) -> None:
        await visit.request()
        await visit.send(raw)

    return handler


def drips(raw: bytes) -> Callable[[Any], Awaitable[None]]:
    """Send these bytes, then one more every few milliseconds for ever: alive to every deadline that counts phases."""

    async def handler(visit: Any) -> None:
        await visit.request()
        await visit.send(raw)
        while True:
            await visit.send(b"x")
            await asyncio.sleep(0.005)

    return handler


async def resets_unread(visit: Any) -> None:
    visit.reset()


async def closes_after_reading(visit: Any) -> None:
    await visit.request()


async def resets_after_reading(visit: Any) -> None:
    await visit.request()
    visit.reset()


async def hangs(visit: Any) -> None:
    await visit.request()
    await asyncio.Event().wait()


async def sends_100_megabytes(visit: Any) -> None:
    await visit.request()
    await visit.send(http(200, Content_Length=str(100 * 2**20), Content_Type="application/json"))
    for _ in range(100):
        await visit.send(b" " * 2**20)


async def informs_for_ever(visit: Any) -> None:
    await visit.request()
    while True:
        await visit.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.005)


@dataclass(frozen=True, kw_only=True)
class Row:
    handler: Callable[[Any], Awaitable[None]]
    error: type[TapiError]
    says: str
    usage: UsageReply | None = None
    """``None``: the HTTP reply itself, whatever it is worth."""
    timeout: timedelta = timedelta(seconds=20)


def reset(says: str, handler: Callable[[Any], Awaitable[None]]) -> Row:
    usage = UsageReply(failure=TransportFailure.RESET, written=True)
    return Row(handler=handler, error=UnavailableError, says=says, usage=usage)


def late(handler: Callable[[Any], Awaitable[None]]) -> Row:
    usage = UsageReply(failure=TransportFailure.TIMEOUT, written=True)
    return Row(
        handler=handler, error=UnavailableError, says="no complete reply in time (0.3 s)", usage=usage, timeout=SOON
    )


def unavailable(says: str, raw: bytes) -> Row:
    return Row(handler=answers(raw), error=UnavailableError, says=says)


def malformed(says: str, body: bytes, **headers: str) -> Row:
    return Row(handler=answers(http(200, body, **headers)), error=IntegrityError, says=says)


def rejected(says: str, raw: bytes) -> Row:
    return Row(handler=answers(raw), error=RejectedError, says=says)


BOMB = gzip.compress(b" " * (64 * 2**20))
PAGE = b"<html><body>Please log in\x1b[2J</body></html>"

MATRIX = {
    # the wire breaks
    "reset after the request": reset("broke off or is not HTTP", resets_after_reading),
    "closed after the request": reset("without sending a response", closes_after_reading),
    "garbage": reset("is not HTTP", answers(b"\x00\xff\x16\x03\x01 garbage\r\n\r\n")),
    "not HTTP": reset("is not HTTP", answers(b"SSH-2.0-OpenSSH_9.6\r\n")),
    "half a status line": reset("is not HTTP", answers(b"HTTP/1.1 20")),
    "half a header": reset("is not HTTP", answers(b"HTTP/1.1 200 OK\r\nContent-Le")),
    "101": reset("is not HTTP", answers(http(101, Connection="Upgrade", Upgrade="tapi"))),
    "endless header": reset("is not HTTP", answers(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**20)),
    "body shorter than promised": reset("broke off", answers(http(200, LICENSE, Content_Length="4000"))),
    "chunks cut short": reset(
        "broke off", answers(http(200, b"20\r\n{}", Content_Length="", Transfer_Encoding="chunked"))
    ),
    "100 MB": reset("longer than 4194304 bytes", sends_100_megabytes),
    "gzip bomb": reset("longer than 4194304 bytes", answers(http(200, BOMB, Content_Encoding="gzip"))),
    "gzip cut short": reset("cut short", answers(http(200, gzip.compress(LICENSE)[:-9], Content_Encoding="gzip"))),
    "gzip that is none": reset("cannot be decompressed", answers(http(200, LICENSE, Content_Encoding="gzip"))),
    "encoding nobody asked for": reset("encoded as 'br'", answers(http(200, LICENSE, Content_Encoding="br"))),
    # the wire hangs
    "hangs": late(hangs),
    "drips header": late(drips(b"HTTP/1.1 200 OK\r\nX-Slow: ")),
    "drips body": late(drips(http(200, Content_Length="1000000"))),
    "informs for ever": late(informs_for_ever),
    # somebody else answers
    "page": unavailable("200, text/html instead of JSON: <html>", http(200, PAGE, Content_Type="text/html")),
    "page without a type": unavailable("200, no content type instead of JSON", http(200, PAGE)),
    "page that claims to be JSON": unavailable("application/json", http(200, PAGE, Content_Type="application/json")),
    "empty": unavailable("no text", http(200, Content_Type="application/json")),
    "204": unavailable("204, no content type instead of JSON", http(204, Content_Length="")),
    "302": unavailable(
        "302, a redirect to http://portal.example/login, not", http(302, Location="http://portal.example/login?a=b")
    ),
    "304": unavailable("304, a redirect to nowhere, not followed", http(304)),
    "511": unavailable("511, the network asks for a login", http(511, PAGE)),
    "407": unavailable("407, a proxy asks for credentials", http(407)),
    # the service says: not now, not you
    "401": unavailable("401, the service does not accept the API key", http(401, b'{"error": "no"}')),
    "403": unavailable("403, the service forbids this", http(403, b'{"error": "no"}')),
    "408": unavailable("408, the service gave up waiting", http(408)),
    "425": unavailable("425, the service wants the request later", http(425)),
    "429": unavailable("429, the service asks for fewer", http(429, Retry_After="77")),
    "500": unavailable("500, the service has failed", http(500)),
    "502": unavailable("502, the service has failed", http(502, PAGE)),
    "503": unavailable("503, the service has failed", http(503)),
    "504": unavailable("504, the service has failed", http(504)),
    "599": unavailable("599, the service has failed", http(599)),
    # the answer holds for this request only
    "404": rejected("404, the service does not know it (no such camera)", http(404, b"no such camera")),
    "400": rejected("400, the service refuses the request (camera: too long)", http(400, b"camera:\n too long")),
    "422": rejected("422, the service refuses the request", http(422, b'{"detail": []}')),
    "418": rejected("418, the service refuses the request (no text)", http(418)),
    "truncated JSON": malformed("malformed JSON", LICENSE[:-5], Content_Type="application/json"),
    "JSON of another form": malformed("is_valid", b"{}"),
    "JSON list": malformed("an object", b"[]"),
    "wrong type": malformed("cameras_allowed", LICENSE[:-1] + b', "cameras_allowed": "4"}'),
    "not a number": malformed("malformed JSON", b'{"is_valid": NaN}'),
    "nested too deep": malformed("malformed JSON", b'{"is_valid": ' + b"[" * 100_000),
}


@pytest.mark.parametrize("row", MATRIX.values(), ids=MATRIX)
async def test_a_license_call_gets_no_answer_and_says_why(row: Row, serve: Any, billing_at: Any) -> None:
    served = await serve(row.handler)
    with pytest.raises(row.error) as caught:
        await billing_at(served.url, timeout=row.timeout, dialect="classic").validate(SUBJECT, PLAIN)
    assert type(caught.value) is row.error
    assert row.says in str(caught.value)
    assert str(caught.value).isprintable()
    assert caught.value.fix


@pytest.mark.parametrize("row", MATRIX.values(), ids=MATRIX)
async def test_a_usage_batch_gets_the_fact(row: Row, serve: Any, billing_at: Any) -> None:
    served = await serve(row.handler)
    reply = await billing_at(served.url, timeout=row.timeout).send_usage(BATCH)
    if row.usage is None:
        assert reply.failure is None
        assert reply.status is not None
    else:
        assert reply == row.usage
    assert served.connections == 1


async def test_a_reply_cut_anywhere_is_no_reply_and_never_an_exception(serve: Any, billing_at: Any) -> None:
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(LICENSE), LICENSE)
    whole = http(200, chunks, Content_Length="", Transfer_Encoding="chunked", Content_Type="application/json")
    cuts = iter(range(len(whole)))

    async def cuts_off(visit: Any) -> None:
        await visit.request()
        await visit.send(whole[: next(cuts)])

    served = await serve(cuts_off)
    billing = billing_at(served.url)
    for _ in whole:
        assert await billing.send_usage(BATCH) == UsageReply(failure=TransportFailure.RESET, written=True)


async def test_a_429_carries_the_wish_of_the_service(serve: Any, billing_at: Any) -> None:
    served = await serve(answers(http(429, Retry_After="77")))
    with pytest.raises(UnavailableError) as caught:
        await billing_at(served.url).validate(SUBJECT, PLAIN)
    assert caught.value.retry_after == timedelta(seconds=77)
    assert (await billing_at(served.url).send_usage(BATCH)).retry_after == timedelta(seconds=77)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(LICENSE, {"Content_Type": "text/plain"}, id="wrong content type"),
        pytest.param(LICENSE, {"Content_Length": ""}, id="ended by closing"),
        pytest.param(b"\xef\xbb\xbf" + LICENSE, {}, id="byte order mark"),
        pytest.param(gzip.compress(LICENSE), {"Content_Encoding": "GZIP"}, id="gzip unasked"),
        pytest.param(zlib.compress(LICENSE), {"Content_Encoding": "deflate"}, id="deflate unasked"),
        pytest.param(LICENSE, {"Content_Encoding": "identity"}, id="identity"),
    ],
)
async def test_an_odd_reply_of_the_service_is_still_its_word(
    body: bytes, headers: dict[str, str], serve: Any, billing_at: Any
) -> None:
    served = await serve(answers(http(200, body, **headers)))
    assert (await billing_at(served.url).validate(SUBJECT, PLAIN)).mode is LicenseMode.BASE
    reply = await billing_at(served.url).send_usage(BATCH)
    assert (reply.status, reply.body.removeprefix(b"\xef\xbb\xbf")) == (200, LICENSE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, kw_only=True)
class NoConnection:
    failure: TransportFailure
    says: str
    fix: str


async def expect_no_connection(billing: HttpBilling, expected: NoConnection) -> None:
    with pytest.raises(UnavailableError, match=expected.says) as caught:
        await billing.validate(SUBJECT, PLAIN)
    assert expected.fix in caught.value.fix
    assert await billing.send_usage(BATCH) == UsageReply(failure=expected.failure, written=False)


async def test_refused(billing_at: Any) -> None:
    await expect_no_connection(
        billing_at(f"http://127.0.0.1:{free_port()}/api/v1"),
        NoConnection(failure=TransportFailure.REFUSED, says="no connection", fix="BILLING_SERVICE_URL"),
    )


async def test_a_name_that_does_not_resolve(billing_at: Any) -> None:
    await expect_no_connection(
        billing_at("http://does-not-exist.invalid/api/v1", timeout=timedelta(seconds=60)),
        NoConnection(failure=TransportFailure.DNS, says="cannot be resolved", fix="DNS"),
    )


async def test_a_certificate_that_nobody_trusts(
    serve: Any, billing_at: Any, self_signed_server: ssl.SSLContext
) -> None:
    served = await serve(answers(http(200, LICENSE)), tls=self_signed_server)
    await expect_no_connection(
        billing_at(served.url),
        NoConnection(failure=TransportFailure.TLS, says="self.signed certificate", fix="clock"),
    )
    assert served.received == []


async def test_a_certificate_for_another_name(
    serve: Any, billing_at: Any, self_signed: tuple[Any, Any], self_signed_server: ssl.SSLContext
) -> None:
    served = await serve(answers(http(200, LICENSE)), tls=self_signed_server)
    other = served.url.replace("127.0.0.1", "localhost")
    await expect_no_connection(
        billing_at(other, verify=ssl.create_default_context(cafile=self_signed[0])),
        NoConnection(failure=TransportFailure.TLS, says="[Hh]ostname mismatch", fix="clock"),
    )


async def test_tls_with_a_trusted_certificate(
    serve: Any, billing_at: Any, self_signed: tuple[Any, Any], self_signed_server: ssl.SSLContext
) -> None:
    served = await serve(answers(http(200, LICENSE)), tls=self_signed_server)
    billing = billing_at(served.url, verify=ssl.create_default_context(cafile=self_signed[0]))
    assert (await billing.validate(SUBJECT, PLAIN)).is_valid


async def test_a_server_without_tls_behind_https(serve: Any, billing_at: Any) -> None:
    async def plain(visit: Any) -> None:
        await visit.reader.read(1)
        await visit.send(http(400, b"The plain HTTP request was sent to HTTPS port"))

    served = await serve(plain)
    await expect_no_connection(
        billing_at(served.url.replace("http", "https")),
        NoConnection(failure=TransportFailure.TLS, says="no trusted TLS connection", fix="clock"),
    )


async def test_closed_during_the_tls_handshake(serve: Any, billing_at: Any) -> None:
    served = await serve(resets_unread)
    await expect_no_connection(
        billing_at(served.url.replace("http", "https")),
        NoConnection(failure=TransportFailure.REFUSED, says="no connection", fix="firewalls"),
    )
