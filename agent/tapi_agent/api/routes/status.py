"""GET /api/v1/status: the one page that says how the box stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.peer import Level
from tapi_agent.api.replies import Reply
from tapi_agent.api.schemas import status_document
from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.api.context import Context
    from tapi_agent.domain.loss import Loss

router = APIRouter(prefix="/api/v1", dependencies=[needs(Level.CHECK)])


@router.get("/status")
async def status(request: Request) -> Reply:
    """State, reason, since, next transition, cameras by state, clock, dependencies, backlog, plugins, version."""
    context = context_of(request)
    return Reply(status_document(context, await context.delivery.backlog(), await _losses(context)))


async def _losses(context: Context) -> Sequence[Loss]:
    """Those of late while the file cannot be read: ``doctor`` says why."""
    try:
        return await context.losses.report()
    except UnavailableError:
        return context.losses.unwritten
