"""Takes in a request's body before anything else happens: whole, at most 1 MiB, once for every route.

What comes beyond the limit is read and thrown away, since closing a connection with unread data in it resets it before
the client could read the refusal. The deadline is the protocol's (``api/server.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from tapi_agent.api.replies import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Message, Receive

MAX_BODY: Final = 1024 * 1024
_MOST_THROWN_AWAY: Final = 16 * MAX_BODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What a client has sent: ``size`` bytes, of which ``body`` is all or, beyond the limit, not."""

    body: bytes = b""
    size: int = 0

    @property
    def refusal(self) -> Problem | None:
        """The answer to a body that is too large. It ends the connection: nobody knows what else is under way."""
        if self.size <= MAX_BODY:
            return None
        return Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body has at least {self.size} bytes, the limit is {MAX_BODY}",
            code="too_large",
            fix="send at most 1000 items and 1 MiB a request",
            headers={"Connection": "close"},
        )

    def replay(self, receive: Receive) -> Receive:
        """``receive`` for the application: the body in one piece, then whatever else comes."""
        waiting: list[Message] = [{"type": "http.request", "body": self.body, "more_body": False}]

        async def replayed() -> Message:
            return waiting.pop() if waiting else await receive()

        return replayed


async def take_in(headers: Mapping[bytes, bytes], receive: Receive) -> Intake | None:
    """Everything the client sends; ``None`` when it went away before the end."""
    announced = int(headers.get(b"content-length", b"0"))
    if announced > MAX_BODY and b"expect" in headers:
        return Intake(size=announced)  # the client asks before it sends: spare both the trouble
    kept, size, more = bytearray(), 0, True
    while more and size <= _MOST_THROWN_AWAY:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message["body"]
        size += len(chunk)
        kept += chunk if size <= MAX_BODY else b""
        more = message["more_body"]
    return Intake(body=bytes(kept), size=size)
