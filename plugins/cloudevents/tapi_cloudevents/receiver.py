"""The wire to the receiver: one POST, and what its answer means. Called by ``dispatch`` on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    from tapi_cloudevents.settings import Settings

_TIMEOUT: Final = httpx.Timeout(10)
_HEADERS: Final = {
    "Content-Type": "application/cloudevents-batch+json; charset=utf-8",
    "User-Agent": "tapi-agent-cloudevents",
    "Accept-Encoding": "identity",  # of an answer a few words are read: they must not unfold into a gigabyte
}
_ABOUT_THE_EVENTS: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)
"""Any other status speaks of the receiver, of the address or of the token: the events would fare no better alone."""
_FIXES: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "check CLOUDEVENTS_TOKEN",
    HTTPStatus.FORBIDDEN: "check CLOUDEVENTS_TOKEN",
}
_LONGEST_WAIT_S: Final = 3600.0
_EXCERPT: Final = 200


Post = Callable[[Sequence[str]], str | None]
"""Sends events, each as JSON, in one request.

``None`` when they were taken; in words, what is wrong when the receiver blames the events themselves. Raises
``NotTakenError`` for anything else.
"""


class NotTakenError(Exception):
    """The receiver did not take the events: to be sent again, not before ``retry_after`` seconds."""

    def __init__(self, detail: str, *, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Receiver:
    """Who listens at ``settings.url``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._headers = _HEADERS | _bearer(settings.token)

    @contextmanager
    def connected(self) -> Iterator[Post]:
        """What posts a request, over connections that are kept until the end of the block."""
        with httpx.Client(
            headers=self._headers,
            timeout=_TIMEOUT,
            verify=_trust(),
            follow_redirects=False,
            # A site's HTTP_PROXY cannot reach what listens on this box itself.
            trust_env=not self._settings.loopback,
        ) as client:
            yield partial(self._post, client)

    def _post(self, client: httpx.Client, events: Sequence[str]) -> str | None:
        body = f"[{','.join(events)}]".encode()
        try:
            with client.stream("POST", self._settings.url, content=body) as response:
                return self._judge(response)
        except httpx.HTTPError as error:
            raise NotTakenError(f"no answer: {type(error).__name__}: {self._cleaned(str(error))}") from None

    def _judge(self, response: httpx.Response) -> str | None:
        if response.is_success:
            return None
        detail = f"HTTP {response.status_code}: {self._cleaned(_excerpt(response))}".rstrip(": ")
        if response.status_code in _ABOUT_THE_EVENTS:
            return detail
        fix = _FIXES.get(response.status_code, "check CLOUDEVENTS_URL and the receiver's log")
        raise NotTakenError(f"{detail}; to do: {fix}", retry_after=_retry_after(response.headers))

    def _cleaned(self, text: str) -> str:
        """A receiver that repeats what it was sent must not get the token into our log."""
        token = self._settings.token
        return text.replace(token, "********") if token else text


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


@cache
def _trust() -> ssl.SSLContext:
    """Public CAs, and those that the site has added to the machine (or names in SSL_CERT_FILE)."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


def _excerpt(response: httpx.Response) -> str:
    """The beginning of the body, as one printable line."""
    start = next(response.iter_bytes(_EXCERPT), b"").decode(errors="replace")
    return "".join(char if char.isprintable() else " " for char in start).strip()


def _retry_after(headers: httpx.Headers) -> float:
    """Seconds; a date is read against the receiver's own ``Date``, since clocks differ."""
    given = headers.get("Retry-After", "").strip()
    if given.isascii() and given.isdecimal():
        return min(float(given), _LONGEST_WAIT_S)
    try:
        wait = parsedate_to_datetime(given) - parsedate_to_datetime(headers.get("Date", ""))
    except (TypeError, ValueError):
        return 0.0
    return min(max(wait.total_seconds(), 0.0), _LONGEST_WAIT_S)
