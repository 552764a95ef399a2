"""Transport faults put into effect around the service, as a cable, a proxy or a dying server would; no handler knows.

What the handlers themselves have to get wrong travels to them in the request's state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never, cast

from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.sandbox import faults, times
from tapi_agent.sandbox.replies import ExactJSON

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection
    from datetime import datetime

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tapi_agent.sandbox.fault_plan import FaultPlan, Misbehavior

_LOGIN_PAGE: Final = "<!doctype html><title>Welcome</title><h1>Guest Wi-Fi</h1><form><input name=room></form>"
_BROKEN_JSON: Final = b'{"is_valid": true, "accepted_count": 1, "resul'
_WRONG_TYPES: Final = {
    **dict.fromkeys(("is_valid", "is_enabled", "cameras_allowed", "sequence", "quota_remaining"), "perhaps"),
    **dict.fromkeys(("license_mode", "status", "valid_until", "server_time", "lease", "batch_id"), 7),
    **dict.fromkeys(("enabled_growth_packs", "enabled_packs", "cameras", "errors", "results"), True),
    **dict.fromkeys(("accepted_count", "rejected_count", "next_heartbeat_in_seconds"), "many"),
}
"""Members of the contract's replies, none of the type that is due."""


class CuttableProtocol(H11Protocol):
    """uvicorn's protocol, which lets the application cut its own connection; ASGI has no word for that."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        self.app_state = {**self.app_state, "cut": transport.abort}


def misbehavior_of(request: Request) -> Misbehavior:
    """What the handler of this request has to get wrong."""
    return cast("Misbehavior", request.state.misbehavior)


def refuse_extension(request: Request, extras: Collection[str]) -> None:
    """400 for fields of the extension, where the plan wants them refused."""
    if extras and misbehavior_of(request).refuse_extension:
        raise InvalidInputError(f"unknown field: {', '.join(sorted(extras))}", code="unknown_field")


def server_time(request: Request, now: datetime) -> str:
    """The clock as the reply shows it, right or as wrong as the plan wants it."""
    return times.render(shown_clock(request, now))


def shown_clock(request: Request, now: datetime) -> datetime:
    """The same as an instant."""
    return now + misbehavior_of(request).clock_error


class Interference:
    """ASGI middleware that lets the fault plan have its way."""

    def __init__(self, app: ASGIApp, plan: FaultPlan) -> None:
        self._app = app
        self._plan = plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        met = scope["state"]["misbehavior"] = self._plan.meet(scope["path"])
        if met.delay:
            await self._plan.sit_out(met.delay)
        match met.terminal:
            case None:
                await self._app(scope, receive, send)
            case faults.Refuse():
                await _cut(scope, receive)
            case faults.DropReply():
                await self._app(scope, receive, _nowhere)
                await _cut(scope, receive)
            case faults.Status() | faults.CaptivePortal() | faults.Garbage() | faults.WrongTypes() as fault:
                await _false_reply(fault)(scope, receive, send)
            case _:
                assert_never(met.terminal)


def _false_reply(fault: faults.Status | faults.CaptivePortal | faults.Garbage | faults.WrongTypes) -> Response:
    """What the client gets without the service ever seeing the request."""
    match fault:
        case faults.Status(status=status, retry_after=wish):
            headers = {} if wish is None else {"Retry-After": str(wish)}
            return PlainTextResponse("fault injected", status_code=status, headers=headers)
        case faults.CaptivePortal(location=None):
            return HTMLResponse(_LOGIN_PAGE)
        case faults.CaptivePortal(location=location):
            return RedirectResponse(str(location), status_code=302)
        case faults.Garbage():
            return Response(_BROKEN_JSON, media_type="application/json")
        case faults.WrongTypes():
            return ExactJSON(_WRONG_TYPES)
        case _:
            assert_never(fault)


async def _nowhere(_: Message) -> None:
    """Where a dropped reply goes."""


async def _cut(scope: Scope, receive: Receive) -> None:
    """Cut the connection. Returning before uvicorn has seen the end of it would make it answer 500."""
    scope["state"]["cut"]()
    while (await receive())["type"] != "http.disconnect":
        pass
