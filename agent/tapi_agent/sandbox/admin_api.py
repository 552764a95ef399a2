"""/admin: sell and revoke, read the ledger, plan faults. For people and tests; no agent ever calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tapi_agent.domain.errors import InvalidInputError, RejectedError
from tapi_agent.sandbox import air_gap, chain, keys, leases, totals, wire
from tapi_agent.sandbox.faults import FaultOrder
from tapi_agent.sandbox.orders import ORDERS
from tapi_agent.sandbox.replies import ExactJSON

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.requests import Request

    from tapi_agent.sandbox.fault_plan import FaultPlan
    from tapi_agent.sandbox.ledger import Ledger
    from tapi_agent.sandbox.traffic import Traffic

_PAGE: Final = 5000


class AdminApi:
    """Handlers. An order that was answered with 204 is in the ledger's file; faults and traffic live in memory."""

    def __init__(self, ledger: Ledger, plan: FaultPlan, traffic: Traffic, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = now
        self._plan = plan
        self._traffic = traffic

    def routes(self) -> list[Route]:
        """Paths below /admin."""
        return [
            Route("/ledger", self.lines),
            Route("/totals", self.totals),
            Route("/batches", self.batches),
            Route("/requests", self.requests),
            Route("/keys", self.keys),
            Route("/answer", self.answer, methods=["POST"]),
            Route("/faults", self.faults),
            Route("/faults", self.add_faults, methods=["POST"]),
            Route("/faults", self.clear_faults, methods=["DELETE"]),
            Route("/{order}", self.carry_out, methods=["POST"]),
        ]

    async def carry_out(self, request: Request) -> Response:
        """Any of ``orders.ORDERS``."""
        name = request.path_params["order"]
        if name not in ORDERS:
            raise RejectedError(f"{name} is none of {', '.join(ORDERS)}", code="not_found")
        order = wire.read(ORDERS[name], await request.body())
        await self._ledger.write(order.carry_out)
        return Response(status_code=204)

    async def lines(self, request: Request) -> Response:
        """The lines of the ledger behind the one numbered ``after``, up to 5000; none left when the list is empty."""
        try:
            after = int(request.query_params.get("after", "0"))
        except ValueError as error:
            raise InvalidInputError("after: must be the number of a line", code="bad_after") from error
        return ExactJSON({"lines": await self._ledger.read(totals.lines, after=after, limit=_PAGE)})

    async def totals(self, _: Request) -> Response:
        """Count and quantity per tenant and meter; quantities are strings, so that no parser can round them."""
        return ExactJSON({"totals": await self._ledger.read(totals.overall)})

    async def batches(self, _: Request) -> Response:
        """Every stored batch."""
        return ExactJSON({"batches": await self._ledger.read(chain.batches)})

    async def requests(self, _: Request) -> Response:
        """Requests by method and path since the start, and the newest ten thousand one by one."""
        return ExactJSON({"counts": self._traffic.counts, "recent": list(self._traffic.recent)})

    async def keys(self, _: Request) -> Response:
        """Every key of the service, the newest first, and the setting of an agent that is to trust it."""
        published = await self._ledger.read(keys.published)
        listed = [{"kid": key.kid, "public_key": key.public_key} for key in published]
        return ExactJSON({"keys": listed, "trusted_keys": keys.trusted_keys(published)})

    async def answer(self, request: Request) -> Response:
        """The text that answers the request file of an air-gapped agent."""
        asked = wire.read(air_gap.RequestFile, await request.body())
        drafts = await self._ledger.write(air_gap.draw_up, asked)
        now = self._now()
        return PlainTextResponse("\n".join(leases.issue(draft, asked.nonce, now) for draft in drafts))

    async def faults(self, _: Request) -> Response:
        """The rules that still hold."""
        return ExactJSON({"rules": [rule.model_dump() for rule in self._plan.rules()]})

    async def add_faults(self, request: Request) -> Response:
        """Add rules to the plan."""
        self._plan.add(wire.read(FaultOrder, await request.body()).rules)
        return Response(status_code=204)

    async def clear_faults(self, _: Request) -> Response:
        """Behave again."""
        self._plan.clear()
        return Response(status_code=204)
