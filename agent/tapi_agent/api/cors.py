"""Web pages on the TCP port (API_ENABLE_CORS): which may call the API, and the headers by which a browser lets them.

A page is let in when this machine serves it, on whatever port; it still needs the token, which is in every request but
a preflight. Never on the Unix socket, which no browser can reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PAGE_HEADERS: Final = (b"origin", b"referer")
_ALLOWED: Final = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
    "Access-Control-Max-Age": "600",
}
_READABLE: Final = (b"access-control-expose-headers", b"Tapi-Version, Tapi-Generation, Retry-After")


def pages(headers: Mapping[bytes, bytes]) -> list[bytes]:
    """The addresses of the web page on whose behalf a browser sends this request; none for other programs."""
    return [headers[name] for name in _PAGE_HEADERS if name in headers]


def host_of(url: bytes) -> str | None:
    """The host in an address; ``None`` when there is none."""
    try:
        return urlsplit(url.decode("latin-1")).hostname
    except ValueError:
        return None


def is_preflight(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser asks if it may ask."""
    return method == "OPTIONS" and b"access-control-request-method" in headers


def preflight() -> Response:
    """Yes, it may."""
    return Response(status_code=204, headers=_ALLOWED)


def grant(origin: bytes) -> list[tuple[bytes, bytes]]:
    """Headers that let the page at ``origin`` read the reply."""
    return [(b"access-control-allow-origin", origin), (b"vary", b"Origin"), _READABLE]
