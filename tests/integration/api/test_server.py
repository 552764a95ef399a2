"""The socket and what lies below the routes, spoken to in raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.responses import JSONResponse

from tapi_agent.api import server as server_module
from tapi_agent.api.guard import Guard
from tapi_agent.api.listen import bind_tcp, bind_unix
from tapi_agent.api.server import LocalServer
from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "t0ken"


async def show_peer(scope, receive, send) -> None:
    peer = scope["state"]["peer"]
    await JSONResponse({"uid": peer.uid, "gids": sorted(peer.gids), "tcp": peer.tcp})(scope, receive, send)


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as path:
        yield Path(path)


@contextlib.asynccontextmanager
async def running(server: LocalServer, *sockets: socket.socket) -> AsyncIterator[None]:
    task = asyncio.create_task(server.serve(sockets=list(sockets)))
    try:
        while not server.started:
            await asyncio.sleep(0)
        yield
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def serving(*sockets: socket.socket) -> AsyncIterator[None]:
    async with running(LocalServer(Guard(show_peer, token=TOKEN, version="1.2.3", generation=lambda: 7)), *sockets):
        yield


async def exchange(path: Path, request: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def body_of(answer: bytes) -> dict:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


async def test_the_kernel_says_who_asks_and_replies_are_stamped(folder: Path) -> None:
    async with serving(bind_unix(folder / "s", group=None)):
        answer = await exchange(folder / "s", GET + b"\r\n")
    assert body_of(answer)["uid"] == os.geteuid()
    assert set(os.getgroups()) <= set(body_of(answer)["gids"])
    assert b"tapi-version: 1.2.3\r\n" in answer
    assert b"tapi-generation: 7\r\n" in answer


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (b"Origin: http://evil.example\r\n", 403, "browser_request"),
        (b"Origin: null\r\n", 403, "browser_request"),
        (b"Referer: http://evil.example/x\r\n", 403, "browser_request"),
        (b"X: " + b"a" * 17_000 + b"\r\n", 431, "header_too_large"),
    ],
    ids=["origin", "null origin", "referer", "long header in one piece"],
)
async def test_the_guard_refuses(folder: Path, headers: bytes, status: int, code: str) -> None:
    async with serving(bind_unix(folder / "s", group=None)):
        answer = await exchange(folder / "s", GET + headers + b"\r\n")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert body_of(answer)["code"] == code
    assert body_of(answer)["fix"]


async def test_headers_that_never_end_are_431(folder: Path) -> None:
    async with serving(bind_unix(folder / "s", group=None)):
        answer = await exchange(folder / "s", GET + b"X: " + b"a" * 20_000)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_what_is_not_http_is_400(folder: Path) -> None:
    async with serving(bind_unix(folder / "s", group=None)):
        answer = await exchange(folder / "s", b"\x16\x03\x01 hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "request_",
    [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"],
    ids=["silent", "half a line", "half a body"],
)
async def test_a_request_that_does_not_arrive_is_given_up(
    folder: Path, request_: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "RECEIVE_SECONDS", 0.2)

    async def swallow(scope, receive, send) -> None:
        while (await receive()).get("more_body"):
            pass

    async with running(LocalServer(swallow), bind_unix(folder / "s", group=None)):
        answer = await exchange(folder / "s", request_)
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_nothing_is_written_into_an_answer_under_way(folder: Path) -> None:
    async def hasty(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with running(LocalServer(hasty), bind_unix(folder / "s", group=None)):
        reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        begun = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        writer.write(b"nothex\r\n")
        rest = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert (begun[:12], rest) == (b"HTTP/1.1 200", b"")


async def test_tcp_needs_the_token_and_a_loopback_host(folder: Path) -> None:
    listener = bind_tcp(0)
    port = listener.getsockname()[1]

    async def ask(headers: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/1.1\r\nConnection: close\r\n{headers}\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer

    async with serving(listener):
        assert (await ask("Host: localhost\r\n")).startswith(b"HTTP/1.1 401 ")
        assert (await ask("Host: localhost\r\nAuthorization: Bearer wrong\r\n")).startswith(b"HTTP/1.1 401 ")
        assert (await ask(f"Host: evil.example\r\nAuthorization: Bearer {TOKEN}\r\n")).startswith(b"HTTP/1.1 403 ")
        good = await ask(f"Host: localhost:{port}\r\nAuthorization: Bearer {TOKEN}\r\n")
    assert body_of(good)["tcp"] is True


async def test_small_replies_over_tcp_are_not_held_back() -> None:
    undelayed = asyncio.get_running_loop().create_future()

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        undelayed.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = bind_tcp(0)
    async with await asyncio.start_server(connected, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        assert await asyncio.wait_for(undelayed, 10)
        writer.close()


def test_the_socket_is_0660_and_a_dead_one_is_replaced(folder: Path) -> None:
    path = folder / "s"
    bind_unix(path, group="no-such-group").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with bind_unix(path, group=None) as listener:
        assert listener.getsockname()
        assert [entry.name for entry in folder.iterdir()] == ["s"]


def test_a_living_socket_is_not_taken(folder: Path) -> None:
    with bind_unix(folder / "s", group=None), pytest.raises(ConfigurationError, match="another agent already answers"):
        bind_unix(folder / "s", group=None)


def test_what_is_no_socket_is_left_alone(folder: Path) -> None:
    path = folder / "precious"
    path.write_text("data")
    with pytest.raises(ConfigurationError, match="is no socket") as caught:
        bind_unix(path, group=None)
    assert (path.read_text(), caught.value.fix != "") == ("data", True)


def test_another_kind_of_socket_is_left_alone(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(folder / "s"))
        with pytest.raises(ConfigurationError, match="wrong type for socket"):
            bind_unix(folder / "s", group=None)
        assert (folder / "s").is_socket()


def test_the_group_is_handed_the_socket(folder: Path) -> None:
    group = grp.getgrgid(os.getgroups()[0] if os.getgroups() else os.getegid())
    with bind_unix(folder / "s", group=group.gr_name):
        assert (folder / "s").stat().st_gid == group.gr_gid


@pytest.mark.parametrize(
    ("path", "message"),
    [(Path("/tmp") / ("x" * 120), "longer than 100 bytes"), (Path("/proc/agent.sock"), "cannot listen")],
    ids=["too long", "not writable"],
)
def test_an_unusable_path_is_a_configuration_error(path: Path, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        bind_unix(path, group=None)
    assert caught.value.fix
