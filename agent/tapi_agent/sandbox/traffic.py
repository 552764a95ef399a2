"""What was asked of the service, also where a fault had its way: the witness of tests about retries. In memory."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REMEMBERED: Final = 10_000


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request. ``body_sha256`` is ``None`` unless its whole body was read, ``status`` unless a reply went out."""

    method: str
    path: str
    idempotency_key: str | None
    body_sha256: str | None = None
    status: int | None = None


class Traffic:
    """Counts of requests by method and path, and the newest ten thousand one by one."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.recent: deque[Seen] = deque(maxlen=_REMEMBERED)

    def note(self, seen: Seen) -> None:
        """Remember a request that has just come in; its end is filled in later."""
        self.counts[f"{seen.method} {seen.path}"] += 1
        self.recent.append(seen)


class Witness:
    """ASGI middleware that notes every request, its body's digest and how it was answered."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        key = Headers(scope=scope).get("idempotency-key")
        seen = Seen(method=scope["method"], path=scope["path"], idempotency_key=key)
        self._traffic.note(seen)
        digest = hashlib.sha256()

        async def hear() -> Message:
            message = await receive()
            digest.update(message.get("body", b""))
            if message["type"] == "http.request" and not message.get("more_body", False):
                seen.body_sha256 = digest.hexdigest()
            return message

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            await send(message)

        await self._app(scope, hear, answer)
