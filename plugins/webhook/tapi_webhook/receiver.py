"""One receiver on the wire: a POST of a message, and how it failed. Called by ``courier`` on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from ipaddress import ip_address
from time import time  # noqa: TID251 - a plugin is given no clock, and receivers compare with their wall clock
from typing import TYPE_CHECKING, Final

import httpx

from tapi_webhook.message import signed

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from tapi_webhook.message import Message

_TIMEOUT: Final = httpx.Timeout(10)
_LONGEST_WAIT_S: Final = 3600.0
_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "tapi-agent-webhook"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a message was not taken; ``of_receiver``: another one would fare no better, for ``retry_after`` seconds."""

    detail: str
    of_receiver: bool = False
    retry_after: float = 0.0


Post = Callable[["Message"], Failure | None]
"""Sends a message once; ``None`` when it was taken: any 2xx."""


class Receiver:
    """``url``, told with ``key``. ``wall`` is the clock that receivers compare a message's timestamp with theirs."""

    def __init__(self, url: str, *, key: bytes, wall: Callable[[], float] = time) -> None:
        self.url = url
        self.wall = wall
        self._key = key

    @property
    def origin(self) -> str:
        """Who it is, in words fit for a log: paths and queries of webhooks are often secret."""
        url = httpx.URL(self.url)
        return f"{url.scheme}://{url.netloc.decode()}"

    @contextmanager
    def connected(self) -> Iterator[Post]:
        """What posts a message, over a connection that is kept until the end of the block."""
        with httpx.Client(
            headers=_HEADERS,
            timeout=_TIMEOUT,
            verify=_trust(),
            follow_redirects=False,  # only the addresses that the operator named
            trust_env=not _is_loopback(httpx.URL(self.url).host),  # a site's proxy cannot reach this box itself
        ) as client:
            yield partial(self._post, client)

    def _post(self, client: httpx.Client, message: Message) -> Failure | None:
        """Of the answer nothing is read but its head."""
        headers = signed(message, key=self._key, timestamp=int(self.wall()))
        try:
            with client.stream("POST", self.url, content=message.body.encode(), headers=headers) as response:
                return None if response.is_success else _refusal(response)
        except httpx.HTTPError as error:
            return Failure(detail=f"no answer: {type(error).__name__}", of_receiver=True)


def _refusal(response: httpx.Response) -> Failure:
    after = response.headers.get("Retry-After", "").strip()
    wait = min(float(after), _LONGEST_WAIT_S) if after.isascii() and after.isdecimal() else 0.0
    return Failure(detail=f"HTTP {response.status_code}", of_receiver=wait > 0, retry_after=wait)


@cache
def _trust() -> ssl.SSLContext:
    """Public CAs, and those that the site has added to the machine (or names in SSL_CERT_FILE)."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
