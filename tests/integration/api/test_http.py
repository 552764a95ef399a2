"""HTTP as clients really speak it: large bodies, pieces, promises, pipelines, and hanging up in the middle."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tapi_agent.api import server
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from tests.integration.api.conftest import LiveAgent

MIB = 1024 * 1024
EVENTS = "/api/v1/usage/events"
BODY = b'{"feature": "no.such"}'


def request(path: str, body: bytes = b"", *headers: str, close: bool = True) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers, *(["Connection: close"] if close else [])]
    return "\r\n".join([*lines, "", ""]).encode() + body


def length(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def answers(raw: bytes) -> list[tuple[int, dict]]:
    """Status and document of each response in a row of them."""
    found = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        size = int(next((line.split()[1] for line in headers if line.lower().startswith("content-length")), 0))
        body, raw = raw[:size], raw[size:]
        found.append((int(status.split()[1]), json.loads(body) if body else {}))
    return found


@contextlib.contextmanager
def connected(live: LiveAgent) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(live.socket))
        yield connection


@pytest.mark.parametrize("size", [MIB + 1, 3 * MIB, 40 * MIB], ids=["one byte more", "3 MiB", "40 MiB"])
@pytest.mark.parametrize("path", [EVENTS, "/nope"])
def test_a_body_beyond_the_limit_gets_its_answer(ask: httpx.Client, steady: LiveAgent, size: int, path: str) -> None:
    reply = ask.post(path, content=b"x" * size)
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
    assert reply.headers["connection"] == "close"
    assert "1 MiB" in reply.json()["fix"]
    assert steady.spool.depth == 0


def test_over_tcp_too(steady: LiveAgent) -> None:
    with socket.create_connection(("127.0.0.1", steady.port), timeout=10) as connection:
        body = b"x" * (MIB + 1)
        connection.sendall(request(EVENTS, body, length(body), "Authorization: Bearer t0ken"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answers(answer)[0][0] == 413


def test_a_body_of_exactly_the_limit_is_read(ask: httpx.Client) -> None:
    body = b'{"feature": "no.such"' + b" " * (MIB - 22) + b"}"
    assert len(body) == MIB
    assert ask.post("/api/v1/check", content=body).status_code == 200


def test_a_refusal_reads_what_was_sent_first(ask: httpx.Client) -> None:
    for _ in range(3):  # the connection goes on
        assert ask.post("/nope", content=b"x" * MIB).status_code == 404
        assert ask.post("/livez", content=b"x" * MIB).status_code == 405


def test_pieces_make_a_whole(steady: LiveAgent) -> None:
    chunks = b'5\r\n{"fea\r\n11\r\nture": "no.such"}\r\n0\r\n\r\n'
    raw = steady.raw(request("/api/v1/check", chunks, "Transfer-Encoding: chunked"))
    assert answers(raw)[0][1]["reason"] == "FEATURE_UNKNOWN"


def test_pieces_without_end_are_too_large(steady: LiveAgent) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    raw = steady.raw(request(EVENTS, chunk * 17 + b"0\r\n\r\n", "Transfer-Encoding: chunked"))
    assert answers(raw)[0][0] == 413


def test_who_asks_before_sending_is_told_to_go_on(steady: LiveAgent) -> None:
    with connected(steady) as connection:
        connection.sendall(request("/api/v1/check", b"", length(BODY), "Expect: 100-continue"))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert answers(connection.recv(65536))[0][0] == 200


def test_who_asks_before_sending_too_much_is_spared_it(steady: LiveAgent) -> None:
    raw = steady.raw(request(EVENTS, b"", f"Content-Length: {MIB + 1}", "Expect: 100-continue", close=False))
    ((status, document),) = answers(raw)
    assert (status, document["code"]) == (413, "too_large")


def test_requests_in_a_row_are_answered_in_their_order(steady: LiveAgent) -> None:
    row = [
        request("/api/v1/check", BODY, length(BODY), close=False),
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        request("/api/v1/check", b"{", length(b"{"), close=False),
        b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ]
    assert [status for status, _ in answers(steady.raw(b"".join(row)))] == [200, 200, 400, 404]


def test_http_1_0_is_answered(steady: LiveAgent) -> None:
    assert answers(steady.raw(b"GET /livez HTTP/1.0\r\n\r\n")) == [(200, {"schema": 1, "status": "alive"})]


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"POST /api/v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /api/v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/check HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnothex\r\n",
        b"GET /li vez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /liv\x00ez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n",
    ],
    ids=["no host", "two lengths", "negative length", "no chunk", "space in the path", "NUL", "NUL in a header"],
)
def test_what_is_not_http_is_refused(steady: LiveAgent, raw: bytes) -> None:
    ((status, document),) = answers(steady.raw(raw))
    assert (status, document["code"]) == (400, "bad_request")
    assert document["fix"]


def test_garbage_after_a_good_request_spoils_only_itself(steady: LiveAgent) -> None:
    raw = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + b"\x00garbage\r\n\r\n"
    assert [status for status, _ in answers(steady.raw(raw))] == [200, 400]


def test_a_slow_request_is_given_up_and_a_slow_answer_is_not(live: LiveAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "RECEIVE_SECONDS", 0.1)
    live.billing.slow()
    body = b"x" * 200_000  # more than is taken in ahead of the application
    raw = live.raw(request("/api/v1/license/validate/gate?wait=0.3", body, length(body)))
    assert [status for status, _ in answers(raw)] == [200]
    raw = live.raw(request("/api/v1/check", BODY, "Content-Length: 500", close=False))
    assert [status for status, _ in answers(raw)] == [408]


def test_half_a_request_behind_a_whole_one_is_given_up_too(steady: LiveAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "RECEIVE_SECONDS", 0.1)
    raw = steady.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HT")
    assert [status for status, _ in answers(raw)] == [200, 408]


def test_a_client_that_hangs_up_leaves_no_trace(live: LiveAgent, caplog: pytest.LogCaptureFixture) -> None:
    state = live.server.server_state
    with capture_logs() as events:
        with connected(live) as connection:
            connection.sendall(request(EVENTS, b'{"event_type":', "Content-Length: 900"))
            wait_until(lambda: state.tasks, within=10, what="the request is being received")
        wait_until(lambda: not (state.connections or state.tasks), within=10, what="the connection is forgotten")
    assert (events, caplog.records) == ([], [])


def test_a_bug_is_answered_and_logged_once_with_its_place(
    live: LiveAgent, http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    live.context.clock._clock = None  # anything that breaks
    with capture_logs() as events:
        reply = http.get("/api/v1/status")
        logged = wait_until(lambda: events, within=10, what="the bug is logged")
    live.context.clock._clock = live.machine
    assert (reply.status_code, reply.json()["code"]) == (500, "internal")
    assert "AttributeError" not in reply.text
    assert "tapi-version" in reply.headers
    ((event, path),) = [(one["event"], one["path"]) for one in logged]
    assert (event, path) == ("api.bug", "/api/v1/status")
    assert caplog.records == []
