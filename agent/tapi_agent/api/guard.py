"""The door of the API: who may come in at all, before any route runs. Pure ASGI, so it costs a few microseconds."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.api import cors
from tapi_agent.api.intake import take_in
from tapi_agent.api.replies import Problem
from tapi_agent.api.server import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

_UNDECODED: Final = "\ufffd"
"""What a server puts where a path is not UTF-8: two different ids would become one."""


class Guard:
    """Takes in the body, refuses what may not come in, stamps every reply with version and generation.

    The TCP port is open to whom has ``token``; with ``cors``, to this machine's web pages that have it too.
    """

    def __init__(
        self, app: ASGIApp, *, token: str | None, version: str, generation: Callable[[], int], cors: bool = False
    ) -> None:
        self._app = app
        self._token = (token or "").encode()
        self._cors = cors
        self._version = version.encode()
        self._generation = generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with the refusal."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        intake = await take_in(headers, receive)
        if intake is None:
            return
        answer = intake.refusal or self._refusal(scope, headers) or self._app
        try:
            await answer(scope, intake.replay(receive), self._stamping(send, self._page(scope, headers)))
        except Exception:  # a bug, answered with 500 by now: raised on, uvicorn would log it without saying where
            log.exception("api.bug", method=scope["method"], path=scope["path"])

    def _stamping(self, send: Send, origin: bytes | None) -> Send:
        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                stamps = [(b"tapi-version", self._version), (b"tapi-generation", str(self._generation()).encode())]
                granted = cors.grant(origin) if origin else []
                message["headers"] = [*message["headers"], *stamps, *granted]
            await send(message)

        return stamped

    def _page(self, scope: Scope, headers: Mapping[bytes, bytes]) -> bytes | None:
        """The origin of the web page that may read the reply."""
        return headers.get(b"origin") if self._lets_pages_in(scope, headers) else None

    def _lets_pages_in(self, scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
        open_to_pages = self._cors and scope["state"]["peer"].tcp
        return open_to_pages and all(cors.host_of(page) in cors.LOOPBACK for page in cors.pages(headers))

    def _refusal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Response | None:
        """The answer to a request that does not get in; to a preflight, which ends here, also the good one."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES:
            return _headers_too_long()
        if _UNDECODED in scope["path"]:
            return _malformed_path()
        if cors.pages(headers) and not self._lets_pages_in(scope, headers):
            return _for_a_page("requests on behalf of a web page are refused")
        return self._tcp_refusal(scope["method"], headers) if scope["state"]["peer"].tcp else None

    def _tcp_refusal(self, method: str, headers: Mapping[bytes, bytes]) -> Response | None:
        host = headers.get(b"host")
        if host and cors.host_of(b"//" + host) not in cors.LOOPBACK:
            return _for_a_page("the Host header does not name this machine's loopback")
        if cors.pages(headers) and cors.is_preflight(method, headers):
            return cors.preflight()
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        is_known = scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)
        return None if self._token and is_known else _unauthorized()


def _headers_too_long() -> Problem:
    return Problem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers are longer than 16 KiB",
        code="header_too_large",
        fix="send fewer or shorter headers",
    )


def _malformed_path() -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST, "the path is not UTF-8", code="malformed_path", fix="percent-encode it as UTF-8"
    )


def _for_a_page(detail: str) -> Problem:
    return Problem(
        HTTPStatus.FORBIDDEN, detail, code="browser_request", fix="call the agent from a program on this device"
    )


def _unauthorized() -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "the TCP port needs the bearer token",
        code="unauthorized",
        fix="send Authorization: Bearer and the content of api-token in the state directory",
        headers={"WWW-Authenticate": "Bearer"},
    )
