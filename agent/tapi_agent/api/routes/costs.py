"""GET /api/v1/costs: what a month is expected to cost, by the price list."""

from __future__ import annotations

from fastapi import APIRouter, Request

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.peer import Level
from tapi_agent.api.replies import Reply
from tapi_agent.api.schemas import plain

router = APIRouter(prefix="/api/v1", dependencies=[needs(Level.CHECK)])


@router.get("/costs")
async def costs(request: Request) -> Reply:
    """An estimate: the bill is the service's."""
    month = context_of(request).costs.month()
    return Reply({"lines": plain(month.lines), "total": plain(month.total), "unpriced": list(month.unpriced)})
