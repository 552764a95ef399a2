"""Bodies on the wire: one going out that knows how far it got, one coming in that cannot exhaust memory."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

LONGEST_REPLY: Final = 4 * 1024 * 1024
_PIECE: Final = 64 * 1024
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32


class GarbledError(Exception):
    """The reply is longer than any of the contract or cannot be decoded: nothing in it can be trusted."""


class Outgoing:
    """A body given out in pieces, so that it is known whether the last one ever went to the socket.

    A piece is asked for only when the kernel has taken the one before. In doubt ``handed_over`` is true.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.handed_over = False

    @property
    def headers(self) -> dict[str, str]:
        """What describes it; without a length httpx would send it chunked, which old servers cannot read."""
        return {"Content-Length": str(len(self._body)), "Content-Type": "application/json"} if self._body else {}

    def pieces(self) -> AsyncIterator[bytes] | None:
        """For ``httpx``: the body, or ``None`` when the request has none."""
        return self._pieces() if self._body else None

    async def _pieces(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), _PIECE):
            self.handed_over = start + _PIECE >= len(self._body)
            yield self._body[start : start + _PIECE]


async def read(reply: httpx.Response) -> bytes:
    """The decoded body. ``GarbledError`` beyond 4 MiB, before or after decompression."""
    raw = bytearray()
    async for chunk in reply.aiter_raw():
        raw += chunk
        if len(raw) > LONGEST_REPLY:
            raise GarbledError(f"the reply is longer than {LONGEST_REPLY} bytes")
    return _decoded(bytes(raw), reply.headers.get("content-encoding", "identity").strip().lower())


def _decoded(raw: bytes, encoding: str) -> bytes:
    """Some servers compress unasked; what they say counts all the same."""
    if encoding in {"identity", ""}:
        return raw
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return _inflated(raw)
    raise GarbledError(f"the reply is encoded as {encoding[:20]!r}, which nobody asked for")


def _inflated(raw: bytes) -> bytes:
    inflate = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
    try:
        body = inflate.decompress(raw, LONGEST_REPLY)
    except zlib.error as error:
        raise GarbledError(f"the reply cannot be decompressed: {error}") from error
    if not inflate.eof:
        raise GarbledError(f"the compressed reply is cut short or longer than {LONGEST_REPLY} bytes")
    return body
