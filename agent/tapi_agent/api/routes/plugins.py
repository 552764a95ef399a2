"""GET /api/v1/plugins: what is loaded, what each registers, what is disabled and why."""

from __future__ import annotations

from fastapi import APIRouter, Request

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.peer import Level
from tapi_agent.api.replies import Reply
from tapi_agent.api.schemas import plain

router = APIRouter(prefix="/api/v1", dependencies=[needs(Level.CHECK)])


@router.get("/plugins")
async def plugins(request: Request) -> Reply:
    """Every plugin found, in the order of loading."""
    return Reply({"plugins": [plain(report) for report in context_of(request).plugins()]})
