"""License routes: how each camera stands, a fresh word for one, a heartbeat."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.paths import CameraInPath
from tapi_agent.api.peer import Level
from tapi_agent.api.replies import Reply
from tapi_agent.api.schemas import dependency_document, device_document, license_document
from tapi_agent.services.connectivity import BILLING

router = APIRouter(prefix="/api/v1", dependencies=[needs(Level.CHECK)])


Wait = Annotated[float, Query(ge=0, le=5)]


@router.get("/license/status")
async def license_status(request: Request) -> Reply:
    """The device's state and every camera's."""
    licensing = context_of(request).licensing
    cameras = [license_document(licensing.view(camera)) for camera in licensing.cameras()]
    return Reply({**device_document(licensing.device()), "licenses": cameras})


@router.post("/license/validate/{camera_id:path}", dependencies=[needs(Level.METER)])
async def validate(request: Request, camera_id: CameraInPath, wait: Wait = 0) -> Reply:
    """What is known of a camera, at once; with ``wait`` (seconds, at most 5) a fresh word when it comes in time."""
    view = await context_of(request).licensing.validate(camera_id, wait=timedelta(seconds=wait))
    return Reply(license_document(view))


@router.post("/license/heartbeat", dependencies=[needs(Level.OPERATE)])
@router.post("/heartbeat", dependencies=[needs(Level.OPERATE)])
async def heartbeat(request: Request) -> Reply:
    """Tell the billing service now that this device and its cameras are alive, and how that went."""
    context = context_of(request)
    following = await context.heartbeat.beat()
    link = dependency_document(BILLING, context.connectivity.report()[BILLING])
    return Reply({"next_heartbeat_s": following.total_seconds(), "billing": link})
