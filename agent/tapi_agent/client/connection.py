"""One request to the agent's socket: sent again when the connection breaks, its reply decoded, its errors named.

What is asked is ``client``'s.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import httpx

from tapi_agent.domain.errors import RejectedError, TapiError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SERVER_ERROR: Final = 500
_BROKEN: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_ADVICE: Final = {
    "FileNotFoundError": "start it (systemctl start tapi-agent), or name its socket with TAPI_SOCKET",
    "ConnectionRefusedError": "start it: systemctl start tapi-agent",
}


class Connection:
    """HTTP/1.1 JSON over ``socket``; ``timeout`` in seconds, for each try. May be shared between threads."""

    def __init__(self, socket: Path, *, timeout: float) -> None:
        self._socket = socket
        self._timeout = timeout
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)),
            base_url="http://localhost",
            trust_env=False,
        )

    def close(self) -> None:
        """Give what is open back."""
        self._http.close()

    def call(self, method: str, path: str, document: object = None, *, patience: float = 0) -> dict[str, Any]:
        """The decoded reply, waited for ``patience`` seconds longer than usual; errors as ``AgentClient`` has them."""
        request = self._http.build_request(
            method,
            path,
            content=None if document is None else json.dumps(document, default=_plain),
            headers=None if document is None else {"Content-Type": "application/json"},
            timeout=self._timeout + patience,
        )
        return self._decoded(self._send(request))

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            try:
                return self._http.send(request)
            except _BROKEN:  # the reply may be lost, not the request: whatever is sent here may arrive twice
                return self._http.send(request)
        except httpx.ConnectError as error:
            raise self._not_there(_root(error)) from error
        except httpx.TransportError as error:
            raise UnavailableError(
                f"the agent on {self._socket} did not answer: {_words(error)}",
                fix="see its log: journalctl -u tapi-agent",
            ) from error

    def _not_there(self, reason: BaseException) -> TapiError:
        if isinstance(reason, PermissionError):
            return RejectedError(
                f"you may not use {self._socket}",
                code="forbidden",
                fix="join the socket's group (sudo usermod -aG tapi $USER, then log in again), or use sudo",
            )
        advice = _ADVICE.get(type(reason).__name__, "check TAPI_SOCKET")
        return UnavailableError(f"no agent answers on {self._socket}: {_words(reason)}", fix=advice)

    def _decoded(self, response: httpx.Response) -> dict[str, Any]:
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise UnavailableError(f"what answers on {self._socket} is no tapi-agent", fix="check TAPI_SOCKET")
        if response.is_success:
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


def _refusal(response: httpx.Response, document: Mapping[str, Any]) -> TapiError:
    message, fix = str(document.get("detail", response.reason_phrase)), str(document.get("fix", ""))
    if response.status_code < _SERVER_ERROR:
        return RejectedError(message, code=str(document.get("code", response.status_code)), fix=fix)
    wait = response.headers.get("retry-after", "")
    return UnavailableError(message, fix=fix, retry_after=timedelta(seconds=int(wait)) if wait.isdecimal() else None)


def _root(error: BaseException) -> BaseException:
    """What httpx has wrapped."""
    cause = error.__cause__ or error.__context__
    return error if cause is None else _root(cause)


def _words(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip(".").lower()
