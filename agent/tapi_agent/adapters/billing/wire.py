"""One HTTP exchange with the billing service, bounded in time and size. It never raises for what the wire does.

It knows nothing of calls, retries and verdicts: ``client`` asks, ``classify`` says what an outcome means.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Final

import httpx

from tapi_agent.adapters.billing import bodies
from tapi_agent.adapters.billing.breakage import detail_of, failure_of
from tapi_agent.domain.delivery import TransportFailure
from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from datetime import timedelta

_CONNECTIONS: Final = 16
_IDLE_SECONDS: Final = 4
"""Common servers hang up after 5: a request must not meet that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete HTTP reply, decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def success(self) -> bool:
        """2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True, kw_only=True)
class NoReply:
    """Why there is no complete reply; ``written``: the service may have the whole request."""

    failure: TransportFailure
    detail: str
    written: bool


class Wire:
    """A pool of connections; without ``reuse`` each exchange has one of its own.

    ``trust_env`` obeys the proxies of the environment (HTTPS_PROXY, NO_PROXY). Redirects are never followed, since the
    key would go along, and no cookie is kept: what a captive portal sets is not the service's business.
    """

    def __init__(
        self, *, headers: Mapping[str, str], timeout: timedelta, verify: ssl.SSLContext, trust_env: bool, reuse: bool
    ) -> None:
        self._timeout = timeout.total_seconds()
        # Not httpx's own limit: a call cancelled while it queues there takes a place of the pool away for ever.
        self._places = asyncio.Semaphore(_CONNECTIONS)
        limits = httpx.Limits(
            max_connections=None,
            max_keepalive_connections=_CONNECTIONS if reuse else 0,
            keepalive_expiry=_IDLE_SECONDS,
        )
        try:
            self._http = httpx.AsyncClient(
                headers=headers,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                verify=verify,
                trust_env=trust_env,
                limits=limits,
                follow_redirects=False,
                timeout=httpx.Timeout(None),  # it counts per phase: a drip of bytes would keep a call alive for ever
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise ConfigurationError(
                "a proxy in the environment (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) is not usable",
                fix="give it like http://proxy.example.com:3128, or unset the variable",
            ) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def exchange(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply | NoReply:
        """One request and its complete reply, all within the timeout."""
        outgoing = bodies.Outgoing(body)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._talk(method, url, outgoing, headers or {})
        except TimeoutError:
            failure, detail = TransportFailure.TIMEOUT, f"{self._timeout:g} s"
        except bodies.GarbledError as error:
            failure, detail = TransportFailure.RESET, str(error)
        except (httpx.HTTPError, OSError) as error:
            failure, detail = failure_of(error), detail_of(error)
        return NoReply(failure=failure, detail=detail, written=outgoing.handed_over)

    async def _talk(self, method: str, url: str, body: bodies.Outgoing, headers: Mapping[str, str]) -> Reply:
        headers = {**body.headers, **headers}
        async with self._places, self._http.stream(method, url, content=body.pieces(), headers=headers) as reply:
            return Reply(status=reply.status_code, headers=reply.headers, body=await bodies.read(reply))
