"""GET /api/v1/doctor: everything that can be examined, the plugins' own checks included."""

from __future__ import annotations

from fastapi import APIRouter, Request

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.peer import Level
from tapi_agent.api.replies import Reply
from tapi_agent.api.schemas import plain

router = APIRouter(prefix="/api/v1", dependencies=[needs(Level.OPERATE)])


@router.get("/doctor")
async def doctor(request: Request) -> Reply:
    """The findings, the agent's own first; ``healthy`` when none is bad."""
    findings = await context_of(request).doctor.examine()
    return Reply({"healthy": all(one.healthy for one in findings), "findings": plain(findings)})
