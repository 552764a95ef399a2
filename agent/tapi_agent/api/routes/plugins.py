"""Plugin routes: what is loaded, what each registers, what is disabled and why; loading anew."""

from __future__ import annotations

from fastapi import APIRouter, Request

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.peer import Level
from tapi_agent.api.replies import Reply
from tapi_agent.api.schemas import plain

router = APIRouter(prefix="/api/v1/plugins", dependencies=[needs(Level.CHECK)])


@router.get("")
async def plugins(request: Request) -> Reply:
    """Every plugin found, in the order of loading."""
    return Reply({"plugins": plain(context_of(request).plugins())})


@router.post("/reload", dependencies=[needs(Level.OPERATE)])
async def reload(request: Request) -> Reply:
    """Load what was installed since and try again what is disabled; ``came`` names those that run now and did not."""
    context = context_of(request)
    before = {report.name for report in context.plugins() if report.enabled}
    await context.reload()
    reports = context.plugins()
    came = [report.name for report in reports if report.enabled and report.name not in before]
    return Reply({"came": came, "plugins": plain(reports)})
