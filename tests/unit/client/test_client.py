"""The client against servers that misbehave: what is sent again, what never is, and how each failure is named."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tapi_agent.client import AgentClient
from tapi_agent.domain.errors import InvalidInputError, RejectedError, TapiError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = datetime(2027, 3, 1, 12, tzinfo=UTC)
DROP, HANG = b"drop", b"hang"


def reply(document: object, status: int = 200, **headers: str) -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Server:
    """Meets each request with the next of its ``answers``; keeps what it was sent."""

    def __init__(self, path: Path, answers: tuple[bytes, ...]) -> None:
        self.path = path
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self._answers = list(answers)
        self._held: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def client(self, **options: float) -> AgentClient:
        return AgentClient(self.path, **options)

    def documents(self) -> list:
        return [json.loads(body) for body in self.bodies]

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for one in (self._listener, *self._held):
            one.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._meet(connection, self._answers.pop(0))

    def _meet(self, connection: socket.socket, answer: bytes) -> None:
        with connection.makefile("rb") as stream:
            head = b"".join(iter(stream.readline, b"\r\n")).decode()
            size = next((line.split()[1] for line in head.lower().split("\r\n") if line.startswith("content-len")), "0")
            self.heads.append(head)
            self.bodies.append(stream.read(int(size)))
        if answer is HANG:
            self._held.append(connection)
            return
        with connection:
            connection.sendall(b"" if answer is DROP else answer)


@contextmanager
def serving(*answers: bytes) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as folder:
        server = Server(Path(folder) / "s", answers)
        try:
            yield server
        finally:
            server.stop()


def test_an_event_whose_reply_is_lost_is_sent_again_as_the_same_event() -> None:
    with serving(DROP, reply({"seq": 1})) as server, server.client() as client:
        assert client.record("api_call", 2, camera_id="gate") == {"seq": 1}
    first, second = server.bodies
    assert first == second
    event = json.loads(first)
    assert UUID(event.pop("dedupe_key"))
    assert datetime.fromisoformat(event.pop("event_time")).tzinfo is not None
    assert event == {"event_type": "api_call", "quantity": "2", "camera_id": "gate"}


def test_two_calls_are_two_events() -> None:
    with serving(reply({}), reply({})) as server, server.client() as client:
        client.record("api_call")
        client.record("api_call")
    keys = {event["dedupe_key"] for event in server.documents()}
    assert len(keys) == 2


def test_a_list_is_fixed_event_by_event_before_it_is_sent() -> None:
    events = [
        {"event_type": "api_call", "quantity": Decimal("0.10")},
        {"event_type": "api_call", "quantity": 1, "event_time": AT},
        {"event_type": "api_call", "quantity": 1, "dedupe_key": "k", "event_time": AT},
    ]
    with serving(DROP, reply({"results": []})) as server, server.client() as client:
        client.record_many(events)
    assert server.bodies[0] == server.bodies[1]
    first, second, third = server.documents()[0]
    assert (first["quantity"], second["event_time"]) == ("0.10", "2027-03-01T12:00:00+00:00")
    assert third == {"event_type": "api_call", "quantity": 1, "dedupe_key": "k", "event_time": second["event_time"]}
    assert len({one["dedupe_key"] for one in (first, second, third)}) == 3


@pytest.mark.parametrize(
    "record",
    [
        lambda client: client.record("api_call", dedupe_key="k"),
        lambda client: client.record_many([{"event_type": "api_call", "quantity": 1, "dedupe_key": "k"}]),
    ],
    ids=["one", "list"],
)
def test_a_time_is_never_made_up_for_a_key(record) -> None:
    with serving() as server, pytest.raises(InvalidInputError) as caught:
        record(server.client())
    assert (caught.value.code, caught.value.pointer) == ("TIME_MISSING", "#/event_time")
    assert caught.value.fix
    assert server.heads == []


def test_a_callers_key_and_time_go_out_as_they_are() -> None:
    with serving(reply({})) as server, server.client() as client:
        client.record("api_call", dedupe_key="k", event_time=AT, metadata={"price": Decimal("1.10")})
    (event,) = server.documents()
    assert (event["dedupe_key"], event["event_time"]) == ("k", "2027-03-01T12:00:00+00:00")
    assert event["metadata"] == {"price": "1.10"}


def test_an_event_from_a_box_with_a_wrong_clock_is_recorded_with_the_agents_time() -> None:
    refusal = reply({"detail": "too old", "code": "TOO_OLD"}, 400)
    status = reply({"clock": {"trusted_now": "2027-03-01T12:00:00Z"}})
    with serving(refusal, status, reply({"seq": 1})) as server, server.client() as client:
        assert client.record("api_call") == {"seq": 1}
    first, second = (json.loads(body) for body in server.bodies if body)
    assert first["dedupe_key"] == second["dedupe_key"]
    assert second["event_time"] == "2027-03-01T12:00:00Z"


@pytest.mark.parametrize(("code", "at"), [("TOO_OLD", AT), ("UNKNOWN_METER", None)], ids=["own time", "other fault"])
def test_any_other_refusal_stands(code: str, at: datetime | None) -> None:
    with (
        serving(reply({"detail": "no", "code": code, "fix": "f"}, 400)) as server,
        pytest.raises(RejectedError, match="no") as caught,
    ):
        server.client().record("api_call", event_time=at)
    assert (caught.value.code, caught.value.fix) == (code, "f")
    assert len(server.heads) == 1


def test_what_has_no_form_in_json_is_not_sent() -> None:
    with serving() as server, pytest.raises(TypeError, match="set cannot be sent"):
        server.client().record("api_call", metadata={"x": {1}})


def test_a_connection_that_breaks_twice_is_no_answer() -> None:
    with serving(DROP, DROP) as server, pytest.raises(UnavailableError, match="did not answer: remote end") as caught:
        server.client().status()
    assert "journalctl" in caught.value.fix


def test_an_agent_that_hangs_is_not_waited_for_twice() -> None:
    with serving(HANG) as server, pytest.raises(UnavailableError, match="did not answer: timed out"):
        server.client(timeout=0.1).status()
    assert len(server.heads) == 1


def test_a_longer_wait_is_granted_where_it_is_asked_for() -> None:
    with serving(HANG) as server, pytest.raises(UnavailableError, match="timed out"):
        server.client(timeout=0.1).validate("a b/ç", wait=0.2)
    assert server.heads[0].startswith("POST /api/v1/license/validate/a%20b%2F%C3%A7?wait=0.2 HTTP/1.1")


@pytest.mark.parametrize(
    ("answer", "error", "words", "after"),
    [
        (reply({"detail": "d", "code": "c", "fix": "f"}, 403), RejectedError, "d", None),
        (reply({"detail": "d", "fix": "f"}, 503, Retry_After="7"), UnavailableError, "d", timedelta(seconds=7)),
        (reply({"detail": "d"}, 500), UnavailableError, "d", None),
        (reply({"detail": "d"}, 503, Retry_After="soon"), UnavailableError, "d", None),
        (reply({}, 404), RejectedError, r"refused \(404\)", None),
        (reply(b"<html>"), UnavailableError, "is no tapi-agent", None),
        (reply([]), UnavailableError, "is no tapi-agent", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", UnavailableError, "did not answer", None),
    ],
    ids=["refused", "unavailable", "bug", "odd wait", "without a problem", "page", "list", "not http"],
)
def test_every_failure_has_its_name(answer: bytes, error: type, words: str, after: timedelta | None) -> None:
    with serving(answer, answer) as server, pytest.raises(error, match=words) as caught:
        server.client().status()
    assert getattr(caught.value, "retry_after", None) == after


def test_nobody_there() -> None:
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as folder:
        path = Path(folder) / "s"
        with pytest.raises(UnavailableError, match="no such file") as caught:
            AgentClient(path).status()
        assert "systemctl start tapi-agent" in caught.value.fix
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))  # and does not listen: what a killed agent leaves behind
        with pytest.raises(UnavailableError, match="connection refused"):
            AgentClient(path).status()


def test_who_may_not_use_the_socket_is_told_how_to_get_in() -> None:
    with serving() as server:
        server.path.chmod(0)
        user = os.geteuid()
        os.seteuid(user or 65534)  # root may do everything
        try:
            with pytest.raises(RejectedError, match="you may not use") as caught:
                server.client().status()
        finally:
            os.seteuid(user)
    assert caught.value.code == "forbidden"
    assert "usermod -aG tapi" in caught.value.fix


def test_a_path_that_can_be_no_socket() -> None:
    with pytest.raises(UnavailableError, match="too long") as caught:
        AgentClient(Path("/tmp") / ("x" * 200)).status()
    assert caught.value.fix == "check TAPI_SOCKET"


@pytest.mark.parametrize(
    ("call", "request_line", "body"),
    [
        (lambda c: c.status(), "GET /api/v1/status", b""),
        (lambda c: c.license_status(), "GET /api/v1/license/status", b""),
        (lambda c: c.heartbeat(), "POST /api/v1/license/heartbeat", b""),
        (lambda c: c.entitlements(), "GET /api/v1/entitlements", b""),
        (lambda c: c.entitlements("a&b"), "GET /api/v1/entitlements?camera=a%26b", b""),
        (lambda c: c.check("a.b"), "POST /api/v1/check", b'{"feature": "a.b", "camera_id": null}'),
        (lambda c: c.check("\udcff", "c"), "POST /api/v1/check", b'{"feature": "\\udcff", "camera_id": "c"}'),
        (lambda c: c.summary(), "GET /api/v1/usage/summary", b""),
        (lambda c: c.summary("é"), "GET /api/v1/usage/summary?tenant=%C3%A9", b""),
        (lambda c: c.flush(), "POST /api/v1/usage/flush", b""),
        (lambda c: c.plugins(), "GET /api/v1/plugins", b""),
        (lambda c: c.quota(), "GET /api/v1/quota", b""),
        (
            lambda c: c.reserve("llm_tokens", Decimal("1.50"), ttl_s=5, camera_id="gate"),
            "POST /api/v1/quota/reserve",
            b'{"meter": "llm_tokens", "amount": "1.50", "ttl_s": 5, "camera_id": "gate"}',
        ),
        (
            lambda c: c.commit("r1", 7, metadata={"n": 2}),
            "POST /api/v1/quota/commit",
            b'{"reservation_id": "r1", "actual": "7", "metadata": {"n": 2}}',
        ),
        (lambda c: c.release("r1"), "POST /api/v1/quota/release", b'{"reservation_id": "r1"}'),
    ],
)
def test_what_each_call_sends(call, request_line: str, body: bytes) -> None:
    with serving(reply({"a": 1})) as server, server.client() as client:
        assert call(client) == {"a": 1}
    assert server.heads[0].startswith(f"{request_line} HTTP/1.1\r\n")
    assert server.bodies == [body]


GRANTED = reply({"granted": True, "reservation_id": "r1"})


def test_a_reservation_whose_reply_is_lost_is_asked_for_again_under_the_same_key() -> None:
    with serving(DROP, GRANTED, GRANTED, GRANTED) as server, server.client() as client:
        assert client.reserve("llm_tokens", 1)["reservation_id"] == "r1"
        client.reserve("llm_tokens", 1)
        client.reserve("llm_tokens", 1, idempotency_key="order-7")
    first, again, another, own = (head.split("Idempotency-Key: ")[1].split()[0] for head in server.heads)
    assert first == again
    assert another != first
    assert own == "order-7"


@pytest.mark.parametrize(("actual", "sent"), [(Decimal("7.5"), "7.5"), (0, "0"), (None, "1200")])
def test_spending_commits_what_is_set_or_else_all_of_it(actual: Decimal | int | None, sent: str) -> None:
    with serving(GRANTED, reply({})) as server, server.client().spending("llm_tokens", 1200) as spending:
        spending.actual = actual
        spending.details["resource_id"] = "m1"
    assert server.heads[1].startswith("POST /api/v1/quota/commit")
    assert server.documents()[1] == {"reservation_id": "r1", "actual": sent, "resource_id": "m1"}


@pytest.mark.parametrize(
    ("actual", "answers", "end", "error"),
    [
        pytest.param(None, (reply({}),), "release", ZeroDivisionError, id="nothing used"),
        pytest.param(None, (DROP, DROP), "release", ZeroDivisionError, id="nothing used, unheard"),
        pytest.param(3, (reply({}),), "commit", ZeroDivisionError, id="used"),
        pytest.param(3, (DROP, DROP), "commit", UnavailableError, id="used, unheard"),
    ],
)
def test_spending_that_fails_gives_back_what_was_not_used(
    actual: int | None, answers: tuple[bytes, ...], end: str, error: type[Exception]
) -> None:
    def spend(client: AgentClient) -> None:
        with client.spending("llm_tokens", 1200) as spending:
            spending.actual = actual
            raise ZeroDivisionError

    with serving(GRANTED, *answers) as server, pytest.raises(error):
        spend(server.client())
    assert server.heads[1].startswith(f"POST /api/v1/quota/{end}")


def test_a_commit_that_nobody_hears_is_an_error() -> None:
    def spend(client: AgentClient) -> None:
        with client.spending("llm_tokens", 1200):
            pass

    with serving(GRANTED, DROP, DROP) as server, pytest.raises(UnavailableError):
        spend(server.client())


@pytest.mark.parametrize(("retryable", "error"), [(True, UnavailableError), (False, RejectedError)])
def test_what_is_denied_is_not_spent(*, retryable: bool, error: type[TapiError]) -> None:
    def spend(client: AgentClient) -> None:
        with client.spending("llm_tokens", 1200):
            pytest.fail("the block ran")

    why = {"reason": "QUOTA_EXCEEDED", "fix": "wait", "retryable": retryable}
    with serving(reply({"granted": False, **why})) as server, pytest.raises(error, match="llm_tokens") as caught:
        spend(server.client())
    assert caught.value.fix == "wait"
