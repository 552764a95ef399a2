"""The TCP port: the token, this machine's names, and web pages where the settings let them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.api.conftest import LiveAgent

BEARER = {"Authorization": "Bearer t0ken"}
PAGE = "http://localhost:3000"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture(scope="module")
def closed(steady: LiveAgent) -> Iterator[httpx.Client]:
    """The port as it is by default."""
    with httpx.Client(base_url=f"http://127.0.0.1:{steady.port}") as client:
        yield client


@pytest.fixture
def opened(living) -> Iterator[httpx.Client]:
    """The port with API_ENABLE_CORS."""
    with living(cors=True) as live, httpx.Client(base_url=f"http://127.0.0.1:{live.port}") as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (BEARER, 200),
        ({"Authorization": "bearer  t0ken"}, 200),
        ({}, 401),
        ({"Authorization": "t0ken"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Bearer t0kenn"}, 401),
        ({"Authorization": "Basic t0ken"}, 401),
        ({**BEARER, "Host": "localhost:1"}, 200),
        ({**BEARER, "Host": "[::1]"}, 200),
        ({**BEARER, "Host": "evil.example"}, 403),
        ({**BEARER, "Host": "[::1"}, 403),
        ({**BEARER, "Origin": PAGE}, 403),
        ({**BEARER, "Referer": PAGE}, 403),
    ],
    ids=str,
)
def test_the_token_opens_the_port_and_pages_stay_out(closed: httpx.Client, headers: dict, status: int) -> None:
    reply = closed.get("/api/v1/status", headers=headers)
    assert reply.status_code == status
    assert (reply.headers.get("www-authenticate") == "Bearer") == (status == 401)
    assert "access-control-allow-origin" not in reply.headers


def test_who_has_the_token_administers(closed: httpx.Client) -> None:
    assert closed.post("/api/v1/usage/flush", headers=BEARER).status_code == 200


@pytest.mark.parametrize("token", [None, ""], ids=["none", "empty"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer"}, {"Authorization": "Bearer None"}], ids=str)
def test_without_a_token_nobody_gets_in(living, token: str | None, headers: dict) -> None:
    with living(token=token) as live:
        assert httpx.get(f"http://127.0.0.1:{live.port}/livez", headers=headers).status_code == 401


def test_no_preflight_where_pages_are_not_let_in(closed: httpx.Client) -> None:
    reply = closed.options("/api/v1/check", headers=PREFLIGHT)
    assert (reply.status_code, reply.json()["code"]) == (403, "browser_request")


def test_a_page_of_this_machine_may_ask_and_read(opened: httpx.Client) -> None:
    may = opened.options("/api/v1/check", headers=PREFLIGHT)
    assert (may.status_code, may.content) == (204, b"")
    assert may.headers["access-control-allow-origin"] == PAGE
    assert may.headers["access-control-allow-methods"] == "GET, POST, PATCH, DELETE"
    assert may.headers["access-control-allow-headers"] == "Authorization, Content-Type, Idempotency-Key"
    reply = opened.post(
        "/api/v1/check", headers={**BEARER, "Origin": PAGE, "Referer": f"{PAGE}/x"}, json={"feature": "a.b"}
    )
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, PAGE)
    assert reply.headers["vary"] == "Origin"
    assert "Tapi-Generation" in reply.headers["access-control-expose-headers"]


def test_a_page_without_the_token_can_read_why_it_is_refused(opened: httpx.Client) -> None:
    reply = opened.get("/api/v1/status", headers={"Origin": PAGE})
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (401, PAGE)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": PAGE, "Referer": "http://evil.example/"},
        {"Origin": "http://[::1"},
    ],
    ids=str,
)
def test_a_foreign_page_stays_out(opened: httpx.Client, headers: dict) -> None:
    for reply in (
        opened.get("/livez", headers={**BEARER, **headers}),
        opened.options("/", headers=PREFLIGHT | headers),
    ):
        assert (reply.status_code, reply.json()["code"]) == (403, "browser_request")
        assert "access-control-allow-origin" not in reply.headers


def test_other_programs_need_no_origin(opened: httpx.Client) -> None:
    reply = opened.get("/livez", headers=BEARER)
    assert (reply.status_code, "access-control-allow-origin" in reply.headers) == (200, False)


def test_on_the_unix_socket_no_page_is_let_in(living) -> None:
    with living(cors=True) as live, live.http() as http:
        assert http.get("/livez", headers={"Origin": PAGE}).status_code == 403
