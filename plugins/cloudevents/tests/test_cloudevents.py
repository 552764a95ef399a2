"""The CloudEvents sink against a real HTTP server that takes only what the specification allows, and counts it once."""

from __future__ import annotations

import json
import logging
import re
import ssl
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httpx
import pytest

import tapi_cloudevents
from tapi_agent.domain.canonical import Frame, canonical_text
from tapi_agent.domain.ids import CameraId, DeviceId, EventId, TenantId, random_id
from tapi_agent.plugin import UsageEvent
from tapi_cloudevents import receiver
from tapi_cloudevents.receiver import NotTakenError, Receiver
from tapi_cloudevents.settings import Settings, read
from tapi_cloudevents.sink import CloudEventsSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tapi_agent.testing.shop import Shop

AT = datetime(2027, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
TOKEN = "om_s3cret-t0ken"
ATTRIBUTES = {"id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time"}
URI_REFERENCE = re.compile(r"(?:[!$&-;=?-Z_a-z~#\[\]@]|%[0-9A-Fa-f]{2})+")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")

Answer = tuple[int, dict[str, str], bytes]
TAKEN: Answer = (204, {}, b"")


def violations(event: Any) -> list[str]:
    """What the CloudEvents 1.0 specification and its JSON format have against a decoded event."""
    if not isinstance(event, dict):
        return ["an event is a JSON object"]
    context = {name: value for name, value in event.items() if name not in {"data", "data_base64"}}
    rules = {
        "required attributes": all(context.get(name) for name in ("id", "source", "specversion", "type")),
        "version 1.0": context.get("specversion") == "1.0",
        "names of lower-case letters and digits": all(re.fullmatch("[a-z0-9]+", name) for name in context),
        "no extension that the sink does not document": context.keys() <= ATTRIBUTES,
        "attributes are strings": all(isinstance(value, str) and value for value in context.values()),
        "strings without forbidden characters": not any(FORBIDDEN.search(str(value)) for value in context.values()),
        "source is a URI-reference": URI_REFERENCE.fullmatch(str(context.get("source"))),
        "time is a timestamp of RFC 3339": RFC3339.fullmatch(str(context.get("time"))),
        "a JSON media type": context.get("datacontenttype") in {None, "application/json"},
        "one kind of data at most": not {"data", "data_base64"} <= event.keys(),
    }
    return [rule for rule, kept in rules.items() if not kept]


@dataclass
class Collector:
    """What the server saw. ``answer`` may refuse a batch (of well-formed events); what it takes is counted once."""

    answer: Callable[[Sequence[dict[str, Any]]], Answer] = lambda _: TAKEN
    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    batches: list[list[str]] = field(default_factory=list)
    counted: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def receive(self, headers: dict[str, str], body: bytes) -> Answer:
        self.requests.append(headers)
        if headers.get("content-type", "").partition(";")[0] != "application/cloudevents-batch+json":
            return 415, {}, b"not a batch"
        events = json.loads(body.decode(), parse_float=Decimal)
        if not isinstance(events, list) or (wrong := [rule for event in events for rule in violations(event)]):
            return 400, {}, json.dumps({"title": "Bad Request", "detail": wrong}).encode()
        self.batches.append([event["id"] for event in events])
        reply = self.answer(events)
        if 200 <= reply[0] < 300:
            for event in events:
                self.counted.setdefault((event["source"], event["id"]), event)
        return reply

    def quantities(self) -> list[Decimal]:
        return [Decimal(event["data"]["quantity"]) for event in self.counted.values()]


@contextmanager
def serving(collector: Collector, *, tls: ssl.SSLContext | None = None) -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, text = collector.receive({k.lower(): v for k, v in self.headers.items()}, body)
            if status == 0:
                self.close_connection = True
                return
            self.send_response_only(status)
            for name, value in ({"Content-Length": str(len(text))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None
    collector.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}/api/v1/events"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with serving(Collector()) as collector:
        yield collector


class Time:
    """A clock that stands still until told otherwise."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def sink_at(url: str, *, prefix: str = "", **options: Any) -> CloudEventsSink:
    settings = Settings(url=url, token=TOKEN, prefix=prefix)
    return CloudEventsSink(Receiver(settings), prefix=prefix, **{"patience": 30.0, "clock": Time()} | options)


def event(number: int, *, quantity: str = "1", metadata: str = "{}", **changed: Any) -> UsageEvent:
    common: dict[str, Any] = {
        "tenant_id": TenantId("acme GmbH"),
        "device_id": DeviceId("box/7 ä"),
        "camera_id": CameraId("gate"),
        "event_type": "api_call",
        "resource_id": "/v1/frames",
        "resource_type": "",
        "unit": "calls",
        "billable": True,
        "corrects": None,
    } | changed
    own: dict[str, Any] = {
        "event_id": EventId(random_id(AT, number.to_bytes(10, "big"))),
        "quantity": Decimal(quantity),
        "event_time": AT,
    }
    text = canonical_text(Frame(**common), **own, metadata=metadata)
    return UsageEvent(**common, **own, recorded_at=AT, canonical=text)


def events(count: int) -> list[UsageEvent]:
    return [event(number) for number in range(count)]


def ids(some: Sequence[UsageEvent]) -> list[str]:
    return [str(one.event_id) for one in some]


def refusing(bad: Sequence[UsageEvent], status: int = 400) -> Callable[[Sequence[dict[str, Any]]], Answer]:
    """As OpenMeter does it: one bad event, and the whole batch is refused."""
    names = set(ids(bad))
    problem = b'{"title":"Bad Request","detail":"no such meter"}'
    return lambda batch: (status, {}, problem) if names & {one["id"] for one in batch} else TAKEN


def test_an_event_arrives_as_a_cloudevent_with_everything_in_it(collector: Collector) -> None:
    first = event(1, quantity="12345678901234567.123456789", metadata='{"note":"Straße \\u0001","deep":{"x":[1]}}')
    back = event(2, quantity="-3", camera_id="", billable=False, corrects=first.event_id, resource_type="frame")
    sink_at(collector.url, prefix="com.example.").send([first, back])
    one, other = collector.counted.values()
    assert {name: value for name, value in one.items() if name != "data"} == {
        "specversion": "1.0",
        "id": str(first.event_id),
        "source": "urn:tapi-agent:device:box%2F7%20%C3%A4",
        "type": "com.example.api_call",
        "subject": "acme GmbH",
        "time": "2027-03-01T12:00:00.250000Z",
        "datacontenttype": "application/json",
    }
    assert unquote(one["source"]).endswith(first.device_id)
    assert one["data"] == json.loads(first.canonical, parse_float=Decimal) | {"billable": True}
    assert one["data"]["quantity"] == first.quantity, "every digit"
    assert other["data"] == json.loads(back.canonical)
    assert (other["data"]["quantity"], other["data"]["billable"]) == (-3, False)
    assert other["data"]["corrects"] == str(first.event_id)


def test_the_token_goes_in_the_header(collector: Collector) -> None:
    sink_at(collector.url).send(events(1))
    (request,) = collector.requests
    assert request["authorization"] == f"Bearer {TOKEN}"


def test_many_events_go_in_order_in_requests_of_a_bounded_size(collector: Collector) -> None:
    many = events(1201)
    sink_at(collector.url).send(many)
    assert [len(batch) for batch in collector.batches] == [500, 500, 201]
    assert [one for batch in collector.batches for one in batch] == ids(many)
    collector.batches.clear()
    large = [event(9000 + number, metadata=json.dumps({"x": "y" * 30_000})) for number in range(50)]
    sink_at(collector.url).send(large)
    assert [one for batch in collector.batches for one in batch] == ids(large)
    assert len(collector.batches) == 2


@pytest.mark.parametrize(
    "status", [0, 302, 401, 403, 404, 405, 408, 409, 415, 425, 429, 500, 502, 503, 504, 599], ids=str
)
def test_what_speaks_of_the_receiver_is_tried_again_whole(collector: Collector, status: int) -> None:
    collector.answer = lambda _: (status, {}, b"")
    sink, some = sink_at(collector.url), events(3)
    for _ in range(2):
        with pytest.raises(NotTakenError):
            sink.send(some)
    assert not sink.health().healthy
    assert collector.batches == [ids(some)] * 2, "no halving"
    collector.answer = lambda _: TAKEN
    sink.send(some)
    assert collector.quantities() == [1, 1, 1]
    assert sink.health().healthy


def test_an_answer_that_is_lost_on_the_way_counts_nothing_twice(collector: Collector) -> None:
    sink, some = sink_at(collector.url), events(4)

    def take_and_hang_up(batch: Sequence[dict[str, Any]]) -> Answer:
        collector.counted.update({(one["source"], one["id"]): one for one in batch})
        return 0, {}, b""

    collector.answer = take_and_hang_up
    with pytest.raises(NotTakenError, match="no answer"):
        sink.send(some)
    collector.answer = lambda _: TAKEN
    sink.send(some)
    assert len(collector.batches) == 2
    assert collector.quantities() == [1, 1, 1, 1]


def test_nobody_listening(collector: Collector) -> None:
    with serving(Collector()) as gone:
        pass
    with pytest.raises(NotTakenError, match="no answer"):
        sink_at(gone.url).send(events(1))


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": "Mon, 01 Mar 2027 12:01:00 GMT", "Date": "Mon, 01 Mar 2027 12:00:00 GMT"}, 60),
        ({"Retry-After": "999999999"}, 3600),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "Mon, 01 Mar 2027 11:00:00 GMT", "Date": "Mon, 01 Mar 2027 12:00:00 GMT"}, 0),
        ({"Retry-After": "Mon, 01 Mar 2027 12:01:00 GMT"}, 0),
        ({}, 0),
    ],
    ids=["seconds", "a date, by the receiver's clock", "for ever", "rubbish", "past", "a date without a clock", "none"],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_receiver_is_left_alone_for_as_long_as_it_asks(
    collector: Collector, headers: dict[str, str], wait: float, status: int
) -> None:
    collector.answer = lambda _: (status, headers, b"")
    clock = Time()
    sink = sink_at(collector.url, clock=clock)
    for later in (0, max(wait - 1, 0)):
        clock.now += later
        with pytest.raises(NotTakenError):
            sink.send(events(1))
    assert len(collector.requests) == (1 if wait else 2)
    collector.answer = lambda _: TAKEN
    clock.now += 1
    sink.send(events(1))
    assert len(collector.counted) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("bad", [[0], [499], [3, 4, 5, 300], range(100)], ids=["first", "last", "some", "a fifth"])
def test_bad_events_are_found_and_set_aside_when_the_others_pass(
    collector: Collector, caplog: pytest.LogCaptureFixture, bad: Sequence[int], status: int
) -> None:
    all_of_them = events(500)
    spoilt = [all_of_them[number] for number in bad]
    collector.answer = refusing(spoilt, status)
    sink = sink_at(collector.url)
    sink.send(all_of_them)
    assert {one for _, one in collector.counted} == set(ids(all_of_them)) - set(ids(spoilt))
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert str(spoilt[0].event_id) in line.getMessage()
    assert "no such meter" in line.getMessage()
    assert len(line.getMessage()) < 3000
    assert f"{len(spoilt)} events set aside" in sink.health().detail


@pytest.mark.parametrize("count", [1, 2, 500, 1100], ids=str)
def test_a_receiver_that_refuses_everything_is_not_believed(
    collector: Collector, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    collector.answer = lambda _: (400, {}, b"no such namespace")
    sink, some = sink_at(collector.url), events(count)
    with pytest.raises(NotTakenError, match="no such namespace"):
        sink.send(some)
    assert len(collector.requests) <= 100
    assert not caplog.records
    collector.answer = lambda _: TAKEN
    sink.send(some)
    assert len(collector.counted) == count, "nothing was lost"


def test_nor_one_that_changes_its_mind_on_the_way(collector: Collector) -> None:
    many = events(300)
    collector.answer = lambda batch: TAKEN if batch[0]["id"] == ids(many)[0] and len(batch) < 100 else (400, {}, b"no")
    with pytest.raises(NotTakenError, match="300 events, most of them refused"):
        sink_at(collector.url).send(many)


def test_a_slow_receiver_is_waited_for_beside_the_agent_and_not_asked_twice(collector: Collector) -> None:
    answer = threading.Event()
    collector.answer = lambda _: (answer.wait(60), TAKEN)[1]
    sink, some = sink_at(collector.url, patience=0.0), events(5)
    for _ in range(3):
        with pytest.raises(NotTakenError, match="not answered yet"):
            sink.send(some)
    sink._patience = 60.0
    answer.set()
    more = [*some, event(77)]  # recorded meanwhile
    sink.send(more)
    assert collector.batches == [ids(some), ids(more)[5:]]
    assert len(collector.counted) == 6
    assert not sink._taken


def test_redirects_are_not_followed(collector: Collector) -> None:
    with serving(Collector()) as elsewhere:
        collector.answer = lambda _: (307, {"Location": elsewhere.url}, b"")
        with pytest.raises(NotTakenError, match="HTTP 307"):
            sink_at(collector.url).send(events(1))
        assert not elsewhere.requests


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with serving(Collector(), tls=context) as stranger:
        with pytest.raises(NotTakenError, match="CERTIFICATE_VERIFY_FAILED"):
            sink_at(stranger.url).send(events(1))
        assert not stranger.requests
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
        receiver._trust.cache_clear()
        sink_at(stranger.url).send(events(1))
        assert len(stranger.counted) == 1
    receiver._trust.cache_clear()


def test_the_token_is_shown_nowhere(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings = Settings(url=collector.url, token=TOKEN)
    collector.answer = lambda _: (401, {}, f"who is {TOKEN}?".encode())
    sink = sink_at(collector.url)
    with pytest.raises(NotTakenError, match="CLOUDEVENTS_TOKEN") as refused:
        sink.send(events(1))
    shown = [str(refused.value), str(sink.health()), str(settings), repr(settings), repr(vars(sink)), caplog.text]
    assert not [text for text in shown if TOKEN in text]


def test_its_entry_point_brings_the_hooks(shop: Shop) -> None:
    assert (shop.report.distribution, shop.report.error) == ("tapi-agent-cloudevents", None)
    assert shop.report.hooks == ("usage_sink", "health_checks", "doctor_checks")


def test_without_an_address_it_is_off() -> None:
    assert (tapi_cloudevents.usage_sink(), tapi_cloudevents.health_checks()) == (None, [])
    (check,) = tapi_cloudevents.doctor_checks()
    assert check.healthy
    assert "CLOUDEVENTS_URL" in check.detail


async def test_with_one_the_agent_gets_the_sink(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, shop: Shop
) -> None:
    monkeypatch.setattr(tapi_cloudevents, "_settings", read({"CLOUDEVENTS_URL": collector.url}))
    tapi_cloudevents._sink.cache_clear()
    (sink,) = await shop._host.ask("usage_sink")
    assert sink is tapi_cloudevents.usage_sink()
    sink.send(events(2))
    assert len(collector.counted) == 2
    assert [check.healthy for check in tapi_cloudevents.health_checks()] == [True]
    assert [check.detail for check in tapi_cloudevents.doctor_checks()] == [collector.url]
    tapi_cloudevents._sink.cache_clear()


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"id": ""}, "required attributes"),
        ({"specversion": "0.3"}, "version 1.0"),
        ({"source": "not a uri"}, "source is a URI-reference"),
        ({"time": "yesterday"}, "time is a timestamp of RFC 3339"),
        ({"cameraId": "x"}, "names of lower-case letters and digits"),
        ({"subject": 7}, "attributes are strings"),
        ({"data_base64": ""}, "one kind of data at most"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_server_of_these_tests_knows_the_rules(collector: Collector, changed: dict[str, Any], rule: str) -> None:
    good = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "time": "2027-03-01T12:00:00Z", "data": {}}
    assert violations(good) == []
    assert rule in violations(good | changed)
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    assert httpx.post(collector.url, json=[good | changed], headers=headers, trust_env=False).status_code == 400
