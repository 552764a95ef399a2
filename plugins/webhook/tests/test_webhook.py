"""The webhook against real HTTP servers that are down, slow, broken or gone in the middle: no edge may get lost."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import signal
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

import tapi_webhook
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.plugin import LicenseChanged, LicenseState, Reason, Subject
from tapi_webhook.message import Message, message, signed
from tapi_webhook.settings import Settings, read
from tapi_webhook.teller import Teller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tapi_agent.testing.shop import Shop

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
AT = datetime(2027, 3, 1, 12, tzinfo=UTC)
PATIENCE = 30
STATES = list(LicenseState)

CHILD = """
import sys
from tapi_webhook.settings import read
from tapi_webhook.teller import Teller
Teller(read({"WEBHOOK_URLS": sys.argv[1], "WEBHOOK_SECRET": sys.argv[2], "WEBHOOK_DIR": sys.argv[3]})).sweep()
print("begun", flush=True)
sys.stdin.read()
"""


@dataclass
class Listener:
    """A receiver that follows Standard Webhooks. ``answer`` gives status and headers; what it takes is in ``taken``."""

    answer: Callable[[dict[str, Any]], tuple[int, dict[str, str]]] = lambda _: (204, {})
    url: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    forged: list[dict[str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def receive(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        message = json.loads(body) | {"id": headers["webhook-id"]}
        with self.changed:
            if not verified(headers, body):
                self.forged.append(headers)
            self.seen.append(message)
            self.changed.notify_all()
        status, extra = self.answer(message)
        with self.changed:
            if 200 <= status < 300:
                self.taken.append(message)
            self.changed.notify_all()
        return status, extra

    def states(self, camera: str) -> list[str]:
        """Those of a camera in the order of their arrival; a repeat that follows at once is one."""
        ids = dict.fromkeys((one["id"], one["data"]["new"]) for one in self.taken if one["data"]["camera_id"] == camera)
        return [new for _, new in ids]

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), f"seen {len(self.seen)}, taken {len(self.taken)}"


def verified(headers: dict[str, str], body: bytes) -> bool:
    """As a receiver does it, from the words of the specification."""
    content = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    expected = base64.b64encode(hmac.digest(KEY, content, hashlib.sha256)).decode()
    versions = [one.split(",", 1) for one in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(value, expected) for version, value in versions)


@contextmanager
def listening(listener: Listener, *, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Listener]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers = listener.receive({k.lower(): v for k, v in self.headers.items()}, body)
            if status == 0:
                self.close_connection = True
                return
            self.send_response_only(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that is killed in the middle
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    listener.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}/hooks/s3cret-path?key=s3cret-query"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening(Listener()) as listener:
        yield listener


class Time:
    """A clock that stands still until told otherwise."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Box:
    """A teller whose time is the test's; ``sweep`` ends when every courier has done what it could."""

    def __init__(self, folder: Path, *urls: str) -> None:
        self.clock, self.wall = Time(), Time(AT.timestamp())
        self.folder = folder
        self.teller = Teller(Settings(urls=urls, key=KEY, folder=folder, keep=timedelta(days=7)), clock=self.clock)
        for courier in self.teller._couriers:
            courier._receiver.wall = self.wall

    def tell(self, *edges: LicenseChanged) -> None:
        for edge in edges:
            self.teller.tell(edge)

    def sweep(self, *, later: float = 0.0) -> None:
        self.settle()
        self.clock.now += later
        self.wall.now += later
        self.teller.sweep()
        self.settle()

    def settle(self) -> None:
        for courier in self.teller._couriers:
            if courier._round is not None:
                courier._round.join(PATIENCE)
                assert not courier._round.is_alive()

    @property
    def unwell(self) -> list[str]:
        return [check.detail for check in self.teller.health() if not check.healthy]


@pytest.fixture
def box(tmp_path: Path, listener: Listener) -> Iterator[Box]:
    box = Box(tmp_path / "webhook", listener.url)
    yield box
    box.settle()


def edge(number: int, camera: str = "gate", *, new: LicenseState | None = None) -> LicenseChanged:
    return LicenseChanged(
        edge_id=UUID(int=sum(camera.encode()) * 1000 + number),
        subject=Subject(device_id=DeviceId("box"), tenant_id=TenantId("Käse GmbH"), camera_id=CameraId(camera)),
        old=STATES[(number - 1) % 4],
        new=new or STATES[number % 4],
        reason=Reason.OFFLINE_LIMIT,
        at=AT + timedelta(seconds=number),
    )


def edges(count: int, camera: str = "gate") -> list[LicenseChanged]:
    return [edge(number, camera) for number in range(count)]


def states(some: Sequence[LicenseChanged]) -> list[str]:
    return [one.new for one in some]


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the reference libraries."""
    body = '{"test": 2432232314}'
    message = Message(message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", subject="", at=AT, body=body)
    assert signed(message, key=KEY, timestamp=1614265330) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_an_edge_arrives_with_everything_in_it(box: Box, listener: Listener) -> None:
    box.tell(edge(3, new=LicenseState.EXPIRED))
    box.sweep()
    assert listener.taken == [
        {
            "id": str(edge(3).edge_id),
            "type": "license.changed",
            "timestamp": "2027-03-01T12:00:03Z",
            "data": {
                "device_id": "box",
                "tenant_id": "Käse GmbH",
                "camera_id": "gate",
                "old": "grace",
                "new": "expired",
                "reason": "OFFLINE_LIMIT",
            },
        }
    ]
    assert not listener.forged
    assert box.unwell == []
    box.sweep(later=3600)
    assert len(listener.seen) == 1, "once is enough"


def test_a_receiver_that_is_down_at_first_hears_everything_in_order(tmp_path: Path) -> None:
    with listening(Listener()) as gone:
        port = int(gone.url.split(":")[2].split("/")[0])
    box = Box(tmp_path, gone.url)
    box.tell(*edges(5), *edges(3, "door"), *edges(2, ""))
    box.settle()
    assert len(box.unwell) == 1
    assert not gone.taken
    with listening(gone, port=port):
        box.sweep()
        assert not gone.seen, "it waits before it tries again"
        box.sweep(later=600)
        assert {camera: gone.states(camera) for camera in ("gate", "door", "")} == {
            "gate": states(edges(5)),
            "door": states(edges(3)),
            "": states(edges(2)),
        }
    assert not gone.forged
    assert box.unwell == []


@pytest.mark.parametrize("status", [500, 503, 400, 404, 410, 302, 0], ids=str)
def test_what_is_not_taken_is_tried_until_it_is(box: Box, listener: Listener, status: int) -> None:
    listener.answer = lambda _: (status, {"Location": listener.url})
    box.tell(*edges(3))
    for _ in range(3):
        box.sweep(later=600)
    assert {one["id"] for one in listener.seen} == {str(edge(0).edge_id)}, "the first one first"
    assert len(listener.seen) == 4
    assert len(box.unwell) == 1
    listener.answer = lambda _: (200, {})
    box.sweep(later=600)
    assert listener.states("gate") == states(edges(3))
    assert not listener.forged, "every try is signed anew"
    assert box.unwell == []


def test_a_message_that_fails_holds_up_its_own_camera_only(box: Box, listener: Listener) -> None:
    listener.answer = lambda message: (500 if message["data"]["camera_id"] == "gate" else 200, {})
    box.tell(*edges(2, "gate"), *edges(2, "door"))
    box.sweep()
    assert (listener.states("gate"), listener.states("door")) == ([], states(edges(2)))
    assert "gate" in str(box.unwell), "although others are taken"
    listener.answer = lambda _: (200, {})
    box.sweep(later=600)
    assert listener.states("gate") == states(edges(2))


def test_a_receiver_that_hangs_holds_up_neither_the_agent_nor_another_receiver(tmp_path: Path) -> None:
    release = threading.Event()
    slow = Listener(answer=lambda _: (release.wait(PATIENCE), (200, {}))[1])
    with listening(slow), listening(Listener()) as quick:
        box = Box(tmp_path, slow.url, quick.url)
        box.tell(*edges(4))  # returns
        slow.wait(lambda: len(slow.seen) == 1)
        box.teller._couriers[1]._round.join(PATIENCE)
        box.teller.sweep()
        box.teller._couriers[1]._round.join(PATIENCE)
        assert quick.states("gate") == states(edges(4))
        assert len(slow.seen) == 1, "one at a time"
        release.set()
        box.sweep()
        assert slow.states("gate") == states(edges(4))
        assert not slow.forged + quick.forged


def test_whoever_is_killed_in_the_middle_goes_on_where_it_was(tmp_path: Path) -> None:
    release = threading.Event()
    slow = Listener(answer=lambda _: (release.wait(PATIENCE) if len(slow.seen) == 3 else None, (200, {}))[1])
    with listening(slow):
        stopped = Box(tmp_path, "http://127.0.0.1:1/")  # only to fill the outbox of the next one
        stopped.teller._outbox._urls = (slow.url,)
        stopped.tell(*edges(4), *edges(4, "door"))
        stopped.settle()
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, slow.url, SECRET, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
        )
        slow.wait(lambda: len(slow.seen) == 3)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        release.set()
        slow.wait(lambda: len(slow.taken) == 3)
        assert len(slow.seen) == 3
        again = Box(tmp_path, slow.url)
        again.sweep()
        assert {camera: slow.states(camera) for camera in ("gate", "door")} == {
            "gate": states(edges(4)),
            "door": states(edges(4)),
        }
        assert len(slow.seen) == 9, "the one in the air came twice"
        assert not slow.forged


def test_an_edge_that_is_told_twice_waits_once(box: Box, listener: Listener) -> None:
    listener.answer = lambda _: (503, {})
    box.tell(edge(1), edge(2), edge(1))
    listener.answer = lambda _: (200, {})
    box.sweep(later=600)
    assert [one["id"] for one in listener.taken] == [str(edge(1).edge_id), str(edge(2).edge_id)]


def test_a_restart_takes_up_what_is_left(tmp_path: Path, listener: Listener) -> None:
    listener.answer = lambda _: (500, {})
    first = Box(tmp_path, listener.url)
    first.tell(*edges(3))
    first.settle()
    listener.answer = lambda _: (200, {})
    Box(tmp_path, listener.url).sweep()
    assert listener.states("gate") == states(edges(3))


def test_the_receiver_is_left_alone_for_as_long_as_it_asks(box: Box, listener: Listener) -> None:
    listener.answer = lambda _: (429, {"Retry-After": "1800"})
    for waiting in (*edges(2, "gate"), *edges(2, "door")):
        box.teller._outbox.put(message(waiting))
    box.sweep()
    box.sweep(later=1799)
    assert len(listener.seen) == 1
    listener.answer = lambda _: (200, {})
    box.sweep(later=1)
    assert len(listener.taken) == 4


def test_redirects_are_not_followed(box: Box, listener: Listener) -> None:
    with listening(Listener()) as elsewhere:
        listener.answer = lambda _: (307, {"Location": elsewhere.url})
        box.tell(edge(1))
        box.sweep(later=600)
        assert len(listener.seen) == 2
        assert not elsewhere.seen


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"),
            *("-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with listening(Listener(), tls=context) as stranger:
        box = Box(tmp_path, stranger.url)
        box.tell(edge(1))
        box.sweep(later=600)
        assert not stranger.seen
        assert "ConnectError" in str(box.unwell)


@pytest.mark.parametrize("status", [500, 0], ids=["this message", "no receiver"])
def test_what_is_too_old_is_given_up_with_a_word(
    box: Box, listener: Listener, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    listener.answer = lambda _: (status, {})
    box.tell(edge(1), edge(2))
    box.sweep(later=timedelta(days=6).total_seconds())
    box.sweep(later=timedelta(days=2).total_seconds())
    box.sweep(later=600)
    assert "2 messages were given up" in str(box.unwell)
    given_up = [line.getMessage() for line in caplog.records if line.levelno == logging.ERROR]
    assert str(edge(1).edge_id) in given_up[0]
    assert str(edge(2).edge_id) in given_up[-1]
    listener.answer = lambda _: (200, {})
    box.sweep(later=600)
    assert not listener.taken
    box.tell(edge(3))
    box.sweep(later=600)
    assert listener.states("gate") == states([edge(3)])


@pytest.mark.parametrize("status", [500, 0], ids=["this message", "no receiver"])
def test_a_box_that_was_in_a_cupboard_for_a_month_gives_nothing_up_at_its_first_try(
    tmp_path: Path, listener: Listener, status: int
) -> None:
    listener.answer = lambda _: (status, {})
    first = Box(tmp_path, listener.url)
    first.tell(*edges(2))
    first.settle()
    later = Box(tmp_path, listener.url)
    later.wall.now += timedelta(days=30).total_seconds()
    later.sweep()
    listener.answer = lambda _: (200, {})
    later.sweep(later=600)
    assert listener.states("gate") == states(edges(2))


def test_a_damaged_outbox_is_set_aside(tmp_path: Path, listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "outbox.db").write_bytes(b"\xff" * 8192)
    box = Box(tmp_path, listener.url)
    box.tell(edge(1))
    box.sweep()
    assert len(listener.taken) == 1
    assert (tmp_path / "outbox.db.corrupt").read_bytes() == b"\xff" * 8192
    assert "damaged" in caplog.text
    assert not caplog.text.count("s3cret")


def test_while_the_disk_takes_nothing_edges_wait_in_memory(
    tmp_path: Path, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "webhook"
    folder.write_text("a file where a folder should be")
    box = Box(folder, listener.url)
    box.tell(*edges(3))
    box.settle()
    assert "3 messages are in memory only" in box.unwell[0]
    assert caplog.text.count("cannot be written") == 1
    folder.unlink()
    box.sweep(later=600)
    assert listener.states("gate") == states(edges(3))
    assert box.unwell == []


def test_what_waits_for_a_receiver_that_is_no_longer_named_is_dropped(tmp_path: Path, listener: Listener) -> None:
    listener.answer = lambda _: (500, {})
    first = Box(tmp_path, listener.url)
    first.tell(edge(1))
    first.settle()
    with listening(Listener()) as other:
        Box(tmp_path, other.url).sweep()
    listener.answer = lambda _: (200, {})
    Box(tmp_path, listener.url).sweep()
    assert not listener.taken


def test_nobody_else_can_read_the_outbox(box: Box) -> None:
    box.tell(edge(1))
    assert {oct(path.stat().st_mode & 0o777) for path in (box.folder, box.folder / "outbox.db")} == {"0o700", "0o600"}


def test_no_secret_is_shown(box: Box, listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tapi_webhook")
    listener.answer = lambda _: (500, {})
    box.tell(edge(1))
    box.sweep(later=600)
    settings = Settings(urls=(listener.url,), key=KEY, folder=box.folder, keep=timedelta(days=1))
    assert str(KEY) not in repr(settings)
    assert "HTTP 500" in caplog.text
    for text in (str(box.teller.health()), caplog.text):
        assert "127.0.0.1" in text
        assert "s3cret" not in text


def test_its_entry_point_brings_the_hooks(shop: Shop) -> None:
    assert (shop.report.distribution, shop.report.error) == ("tapi-agent-webhook", None)
    assert shop.report.hooks == ("register_jobs", "license_changed", "health_checks", "doctor_checks")


def test_without_receivers_it_is_off() -> None:
    tapi_webhook.license_changed(edge(1))
    assert (tapi_webhook.register_jobs(), tapi_webhook.health_checks()) == ([], [])
    (check,) = tapi_webhook.doctor_checks()
    assert check.healthy
    assert "WEBHOOK_URLS" in check.detail


async def test_with_one_the_agent_brings_edges_there_and_is_not_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop: Shop
) -> None:
    release = threading.Event()
    slow = Listener(answer=lambda _: (release.wait(PATIENCE), (200, {}))[1])
    with listening(slow):
        environ = {"WEBHOOK_URLS": slow.url, "WEBHOOK_SECRET": SECRET, "WEBHOOK_DIR": str(tmp_path)}
        monkeypatch.setattr(tapi_webhook, "_settings", read(environ))
        tapi_webhook._teller.cache_clear()
        (job,) = tapi_webhook.register_jobs()
        for change in edges(4):
            await shop._host.license_changed(change)
        assert (shop.report.enabled, shop.report.failures) == (True, 0)
        assert not slow.taken
        release.set()
        slow.wait(lambda: len(slow.taken) == 4)
        job.run()
        assert [check.healthy for check in tapi_webhook.health_checks()] == [True]
        assert [check.detail for check in tapi_webhook.doctor_checks()] == ["1 receivers"]
        for courier in tapi_webhook._teller()._couriers:
            courier._round.join(PATIENCE)
    tapi_webhook._teller.cache_clear()
    assert slow.states("gate") == states(edges(4))
    assert not slow.forged
