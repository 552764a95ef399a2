"""One request to the agent's socket: sent again when the connection breaks, its reply decoded, its errors named.

What is asked is ``client``'s. Standard library only: an application that asks the agent needs nothing else installed. A
connection serves one request, which costs little on a Unix socket and leaves nothing for threads or a fork to share.
"""

from __future__ import annotations

import json
import socket
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from tapi_agent.domain.errors import NoSpaceError, RejectedError, TapiError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ADVICE: Final = {
    FileNotFoundError: "start it (systemctl start tapi-agent), or name its socket with TAPI_SOCKET",
    ConnectionRefusedError: "start it: systemctl start tapi-agent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    path: str
    body: bytes | None
    form: str = "application/json"
    idempotency_key: str | None = None
    timeout: float

    @property
    def headers(self) -> dict[str, str]:
        given = {"Content-Type": self.form if self.body is not None else None, "Idempotency-Key": self.idempotency_key}
        return {"Connection": "close", **{name: value for name, value in given.items() if value is not None}}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Response:
    status: int
    retry_after: str
    body: bytes


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, *, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Connection:
    """HTTP/1.1 JSON over ``socket``; ``timeout`` in seconds, for each try."""

    def __init__(self, socket: Path, *, timeout: float) -> None:
        self._socket = socket
        self._timeout = timeout

    def call(
        self,
        method: str,
        path: str,
        document: object = None,
        *,
        patience: float = 0,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """The decoded reply, waited for ``patience`` seconds longer than usual; errors as ``AgentClient`` has them."""
        body = None if document is None else json.dumps(document, default=_plain).encode()
        timeout = self._timeout + patience
        return self._ask(
            _Request(method=method, path=path, body=body, timeout=timeout, idempotency_key=idempotency_key)
        )

    def send_text(self, path: str, text: str) -> dict[str, Any]:
        """POST a text that is no JSON; the decoded reply."""
        body = text.encode(errors="surrogateescape")
        return self._ask(_Request(method="POST", path=path, body=body, form="text/plain", timeout=self._timeout))

    def _ask(self, request: _Request) -> dict[str, Any]:
        try:
            response = self._send(request)
        except (OSError, HTTPException) as error:
            raise UnavailableError(
                f"the agent on {self._socket} did not answer: {_words(error)}",
                fix="see its log: journalctl -u tapi-agent",
            ) from error
        return self._decoded(response)

    def _send(self, request: _Request) -> _Response:
        try:
            return self._try(request)
        except (ConnectionError, HTTPException):  # the reply may be lost, not the request: it may arrive twice
            return self._try(request)

    def _try(self, request: _Request) -> _Response:
        with closing(_UnixConnection(self._socket, timeout=request.timeout)) as connection:
            try:
                connection.connect()
            except OSError as error:
                raise self._not_there(error) from error
            connection.request(request.method, request.path, request.body, request.headers)
            with connection.getresponse() as response:
                retry_after = response.headers.get("Retry-After", "")
                return _Response(status=response.status, retry_after=retry_after, body=response.read())

    def _not_there(self, error: OSError) -> TapiError:
        if isinstance(error, PermissionError):
            return RejectedError(
                f"you may not use {self._socket}",
                code="forbidden",
                fix="join the socket's group (sudo usermod -aG tapi $USER, then log in again), or use sudo",
            )
        advice = _ADVICE.get(type(error), "check TAPI_SOCKET")
        return UnavailableError(f"no agent answers on {self._socket}: {_words(error)}", fix=advice)

    def _decoded(self, response: _Response) -> dict[str, Any]:
        try:
            document = json.loads(response.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise UnavailableError(f"what answers on {self._socket} is no tapi-agent", fix="check TAPI_SOCKET")
        if response.status < HTTPStatus.BAD_REQUEST:
            return document
        raise _refusal(response, document)


def _plain(value: object) -> str:
    """What JSON has no form for: exact quantities and times."""
    match value:
        case Decimal():
            return str(value)
        case datetime():
            return value.isoformat()
        case _:
            raise TypeError(f"{type(value).__name__} cannot be sent")


def _refusal(response: _Response, document: Mapping[str, Any]) -> TapiError:
    message, fix = str(document.get("detail", f"refused ({response.status})")), str(document.get("fix", ""))
    if response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return RejectedError(message, code=str(document.get("code", response.status)), fix=fix)
    wait = timedelta(seconds=int(response.retry_after)) if response.retry_after.isdecimal() else None
    if response.status == HTTPStatus.INSUFFICIENT_STORAGE:
        return NoSpaceError(message, retry_after=wait)
    return UnavailableError(message, fix=fix, retry_after=wait)


def _words(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip(".").lower()
