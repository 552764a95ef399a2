"""uvicorn, bent to a local socket: peer credentials in every request, a deadline to receive one, 431 for long headers.

Signals stay with the daemon. The application behind it is ``api/app.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

import h11
import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from tapi_agent.api.peer import peer_of
from tapi_agent.api.replies import Problem

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from starlette.types import ASGIApp

RECEIVE_SECONDS: Final = 5.0
HEADER_BYTES: Final = 16 * 1024
KEEP_ALIVE_SECONDS: Final = 30
"""Longer than clients keep an idle connection (httpx: 5 s), so that none is closed just as it is used again."""
_UNANSWERED: Final = frozenset({h11.IDLE, h11.SEND_RESPONSE})


class LocalProtocol(H11Protocol):
    """One connection: knows its peer, and gives up on a request that does not arrive in time."""

    _deadline: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        peer = peer_of(cast("socket.socket", transport.get_extra_info("socket")))
        self.app_state = {**self.app_state, "peer": peer}
        self._arm()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._receiving():
            self._arm()
        else:
            self._disarm()

    @override
    def on_response_complete(self) -> None:
        """The next request may have begun to arrive while this one was answered."""
        super().on_response_complete()
        if self._receiving():
            self._arm()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    @override
    def send_400_response(self, msg: str) -> None:
        """Also called for headers beyond the limit, which h11 marks with its status hint."""
        self._refuse(HTTPStatus(getattr(sys.exception(), "error_status_hint", HTTPStatus.BAD_REQUEST)), msg)

    def _receiving(self) -> bool:
        begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        return begun or self.conn.their_state is h11.SEND_BODY

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(RECEIVE_SECONDS, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request did not arrive within {RECEIVE_SECONDS:g} s")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer where no answer has begun, and hang up."""
        if self.conn.our_state in _UNANSWERED:
            self.transport.write(_refusal(status, detail))
        self.transport.close()


def _refusal(status: HTTPStatus, detail: str) -> bytes:
    fix = "send a complete HTTP/1.1 request with headers under 16 KiB"
    return Problem(status, detail, code=status.name.lower(), fix=fix).as_bytes()


class LocalServer(uvicorn.Server):
    """Serves until ``should_exit`` is set; leaves signals to the daemon."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=cast("Any", LocalProtocol),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                h11_max_incomplete_event_size=HEADER_BYTES,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=3,
            )
        )

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
