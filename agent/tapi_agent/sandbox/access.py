"""Who is asking: API keys open the contract's calls for one tenant, the admin token opens /admin."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, cast

from starlette.datastructures import Headers

from tapi_agent.domain.errors import RejectedError
from tapi_agent.sandbox import subscriptions
from tapi_agent.sandbox.replies import refusal

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tapi_agent.sandbox.ledger import Ledger


def account_of(request: Request) -> str:
    """The tenant whose API key came with the request. Usage is stored under it, whichever tenants the events name."""
    return cast("str", request.state.account)


def require_own(request: Request, tenant_id: str) -> None:
    """Licenses are shown to their holder only: ``RejectedError`` ``forbidden``, also for a tenant there is not."""
    if tenant_id != account_of(request):
        raise RejectedError("this API key belongs to another tenant", code="forbidden")


class ApiAccess:
    """ASGI middleware: 401 without a known API key."""

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:
        self._app = app
        self._ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        account = await self._ledger.read(subscriptions.tenant_of, _bearer(scope))
        if account is None:
            await _unauthorized("unknown API key")(scope, receive, send)
            return
        scope["state"]["account"] = account
        await self._app(scope, receive, send)


class AdminAccess:
    """ASGI middleware: 401 without the admin token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        known = hmac.compare_digest(_bearer(scope).encode(), self._token)
        await (self._app if known else _unauthorized("unknown admin token"))(scope, receive, send)


def _bearer(scope: Scope) -> str:
    scheme, _, credentials = Headers(scope=scope).get("authorization", "").partition(" ")
    return credentials if scheme.lower() == "bearer" else ""


def _unauthorized(why: str) -> ASGIApp:
    return refusal(RejectedError(why, code="unauthorized"))
