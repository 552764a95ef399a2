"""License routes: how each camera stands, a fresh word for one or all, a request file and its answer, a heartbeat."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.paths import CameraInPath
from tapi_agent.api.peer import Level
from tapi_agent.api.replies import Reply
from tapi_agent.api.schemas import (
    dependency_document,
    device_document,
    import_document,
    license_document,
    plain,
    request_document,
)
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


@router.post("/license/refresh", dependencies=[needs(Level.OPERATE)])
async def refresh(request: Request, wait: Wait = 0) -> Reply:
    """Ask for every camera now; ``round`` is null while that goes on for longer than ``wait``."""
    licensing = context_of(request).licensing
    done = await licensing.refresh_within(timedelta(seconds=wait))
    return Reply({"round": plain(done), **device_document(licensing.device())})


@router.post("/license/request", dependencies=[needs(Level.OPERATE)])
async def request_leases(request: Request) -> Reply:
    """A request to carry to the billing service by hand; from now on only its answer may be imported."""
    context = context_of(request)
    return Reply(request_document(await context.licensing.request(), context.version))


@router.delete("/license/request", dependencies=[needs(Level.OPERATE)])
async def withdraw_request(request: Request) -> Reply:
    """Await no answer any more, and whether one was awaited."""
    return Reply({"withdrawn": await context_of(request).licensing.withdraw()})


@router.post("/license/import", dependencies=[needs(Level.OPERATE)])
async def import_leases(request: Request, *, dry_run: bool = False) -> Reply:
    """Take over the leases in the body (the text of the files), all or none; on disk when this answers."""
    text = (await request.body()).decode(errors="replace")  # what is no text is no lease either
    return Reply(import_document(await context_of(request).licensing.import_(text, dry_run=dry_run)))


@router.post("/license/heartbeat", dependencies=[needs(Level.OPERATE)])
@router.post("/heartbeat", dependencies=[needs(Level.OPERATE)])
async def heartbeat(request: Request) -> Reply:
    """Tell the billing service now that this device and its cameras are alive, and how that went."""
    context = context_of(request)
    following = await context.heartbeat.beat()
    link = dependency_document(BILLING, context.connectivity.report()[BILLING])
    return Reply({"next_heartbeat_s": following.total_seconds(), "billing": link})
