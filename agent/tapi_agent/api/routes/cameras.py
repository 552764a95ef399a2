"""Camera routes: which there are and what they are made of, components and zones included."""

from __future__ import annotations

from fastapi import APIRouter, Request

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.bodies import read_json
from tapi_agent.api.paths import CameraInPath
from tapi_agent.api.peer import Level
from tapi_agent.api.replies import ExactReply, Reply
from tapi_agent.api.schemas import camera_document
from tapi_agent.domain.ids import DeviceId

router = APIRouter(prefix="/api/v1/cameras", dependencies=[needs(Level.CHECK)])


@router.get("")
async def cameras(request: Request, device: str | None = None) -> Reply:
    """Every camera of the tenant, or of one device, by seniority."""
    setups = await context_of(request).cameras.all(DeviceId(device) if device else None)
    return ExactReply({"cameras": [camera_document(setup) for setup in setups]})


@router.get("/{camera_id:path}")
async def camera(request: Request, camera_id: CameraInPath) -> Reply:
    """One camera."""
    return ExactReply(camera_document(await context_of(request).cameras.get(camera_id)))


@router.post("", dependencies=[needs(Level.OPERATE)])
async def put(request: Request) -> Reply:
    """Make a camera, or put this in the place of what was known of it; sending it twice is sending it once."""
    return ExactReply(camera_document(await context_of(request).cameras.put(await read_json(request))))


@router.patch("/{camera_id:path}", dependencies=[needs(Level.OPERATE)])
async def patch(request: Request, camera_id: CameraInPath) -> Reply:
    """Replace the members that are sent, each whole; the others stay."""
    changed = await context_of(request).cameras.patch(camera_id, await read_json(request))
    return ExactReply(camera_document(changed))


@router.delete("/{camera_id:path}", dependencies=[needs(Level.OPERATE)])
async def delete(request: Request, camera_id: CameraInPath, device: str | None = None) -> Reply:
    """Forget a camera of this device, or of one that is gone."""
    await context_of(request).cameras.delete(camera_id, DeviceId(device) if device else None)
    return Reply({"camera_id": camera_id, "deleted": True})
