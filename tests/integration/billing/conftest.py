"""Servers that misbehave on real sockets, and clients pointed at them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import subprocess
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from tapi_agent.adapters.billing import HttpBilling
from tapi_agent.domain.ids import DeviceId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

KEY: Final = "s3cret-key-of-the-tests"
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class Visit:
    """One connection, from the server's side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: list[Received]
    arrived: list[float]

    async def request(self) -> Received:
        """Read a whole request."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        line, *fields = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        request = Received(line=line, headers=headers, body=body)
        self.received.append(request)
        self.arrived.append(asyncio.get_running_loop().time())
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close so that the other side gets RST, not FIN."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.writer.transport.abort()


Handler = "Callable[[Visit], Awaitable[None]]"


@dataclass(kw_only=True)
class Served:
    """A running server: what came to it, how often it was called."""

    url: str
    received: list[Received] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    """When, on the loop's clock."""
    connections: int = 0


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Served]]]:
    """``await serve(handler, tls=context)`` starts a server that hands every connection to ``handler``."""
    async with contextlib.AsyncExitStack() as stack:
        tasks: set[asyncio.Task[None]] = set()

        async def start(handler: Callable[[Visit], Awaitable[None]], *, tls: ssl.SSLContext | None = None) -> Served:
            served = Served(url="")

            async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                served.connections += 1
                task = asyncio.current_task()
                assert task is not None
                tasks.add(task)
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    await handler(Visit(reader=reader, writer=writer, received=served.received, arrived=served.arrived))
                writer.close()

            server = await asyncio.start_server(visit, "127.0.0.1", 0, ssl=tls, limit=2**20)
            stack.push_async_callback(_stop, server, tasks)
            port = server.sockets[0].getsockname()[1]
            served.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/api/v1"
            return served

        yield start


async def _stop(server: asyncio.Server, tasks: set[asyncio.Task[None]]) -> None:
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="session")
def trust() -> ssl.SSLContext:
    """What the system trusts, loaded once for all clients."""
    return ssl.create_default_context()


@pytest.fixture
async def billing_at(trust: ssl.SSLContext) -> AsyncIterator[Callable[..., HttpBilling]]:
    """``billing_at(url, retries=3, …)`` is a client that is closed after the test."""
    async with contextlib.AsyncExitStack() as stack:

        def connect(url: str, **changed: object) -> HttpBilling:
            plain = {
                "base_url": url,
                "api_key": KEY,
                "device_id": DeviceId("device-1"),
                "timeout": timedelta(seconds=20),
                "retries": 0,
                "dialect": "auto",
                "agent_version": "1.2.3",
                "verify": trust,
            }
            billing = HttpBilling(**(plain | changed))  # type: ignore[arg-type]
            stack.push_async_callback(billing.close)
            return billing

        yield connect


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key of 127.0.0.1 that nobody trusts."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    try:
        subprocess.run([*command, *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl binary to make a certificate with")
    return certificate, key


@pytest.fixture(scope="session")
def self_signed_server(self_signed: tuple[Path, Path]) -> ssl.SSLContext:
    """TLS of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed)
    return context
