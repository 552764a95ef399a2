"""The sandbox as one ASGI application: which path leads to whom, and what stands before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Mount, Route

from tapi_agent.domain.errors import RejectedError
from tapi_agent.sandbox import replies
from tapi_agent.sandbox.access import AdminAccess, ApiAccess
from tapi_agent.sandbox.admin_api import AdminApi
from tapi_agent.sandbox.interference import Interference
from tapi_agent.sandbox.licenses_api import LicensesApi
from tapi_agent.sandbox.traffic import Traffic, Witness
from tapi_agent.sandbox.usage_api import UsageApi
from tapi_agent.sandbox.wire import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.responses import Response

    from tapi_agent.sandbox.fault_plan import FaultPlan
    from tapi_agent.sandbox.ledger import Ledger


def build_app(*, ledger: Ledger, plan: FaultPlan, now: Callable[[], datetime], admin_token: str) -> Starlette:
    """The service on ``ledger``, misbehaving by ``plan``, its clock ``now``."""
    traffic = Traffic()
    contract = [*LicensesApi(ledger, now).routes(), *UsageApi(ledger, now).routes()]
    admin = AdminApi(ledger, plan, traffic, now).routes()
    with_key, with_token = Middleware(ApiAccess, ledger), Middleware(AdminAccess, admin_token)
    service = [
        Route("/health", _health),
        Mount("/api/v1", routes=contract, middleware=[with_key], max_body_size=MAX_BODY_BYTES),
    ]
    return Starlette(
        routes=[
            # The admin steers the faults, so it must not meet them: only the service stands behind them.
            Mount("/admin", routes=admin, middleware=[with_token], max_body_size=MAX_BODY_BYTES),
            Mount("", routes=service, middleware=[Middleware(Witness, traffic), Middleware(Interference, plan)]),
        ],
        exception_handlers={RejectedError: replies.refuse, ClientDisconnect: replies.hang_up},
    )


async def _health(_: Request) -> Response:
    return replies.ExactJSON({"status": "healthy"})
