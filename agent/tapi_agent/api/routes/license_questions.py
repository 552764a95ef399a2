"""Questions about licenses: why a camera stands as it does, how it would stand, how it has stood."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.license_documents import edge_document, explanation_document, simulation_document
from tapi_agent.api.peer import Level
from tapi_agent.api.replies import Reply
from tapi_agent.domain.ids import CameraId
from tapi_agent.services.licensing.questions import FARTHEST

router = APIRouter(prefix="/api/v1/license", dependencies=[needs(Level.CHECK)])

CameraName = Annotated[str | None, Query(alias="camera_id", max_length=128)]
Seconds = Annotated[float | None, Query(gt=0, le=FARTHEST.total_seconds())]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/explain")
async def explain(request: Request, camera: CameraName = None) -> Reply:
    """Why a camera stands as it does; "" is the tenant itself, none the device: its worst camera."""
    context = context_of(request)
    explained = context.licensing.questions.explain(_camera(camera))
    drifted = context.licensing.device().drifted
    return Reply(explanation_document(explained, clock=context.clock.describe(), drifted=drifted))


@router.get("/simulate")
async def simulate(
    request: Request, camera: CameraName = None, offline_s: Seconds = None, at: datetime | None = None
) -> Reply:
    """The states if the link were lost now, for so long or until then; of a camera, or of all. No zone is UTC."""
    if at is not None and at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    questions = context_of(request).licensing.questions
    offline = None if offline_s is None else timedelta(seconds=offline_s)
    simulation = await questions.simulate(_camera(camera), offline=offline, at=at)
    return Reply(simulation_document(simulation))


@router.get("/history")
async def history(request: Request, camera: CameraName = None, limit: Limit = 100) -> Reply:
    """The newest changes of state of a camera, or of all of this device, newest first."""
    edges = await context_of(request).licensing.questions.history(_camera(camera), limit=limit)
    return Reply({"edges": [edge_document(edge) for edge in edges]})


def _camera(name: str | None) -> CameraId | None:
    return None if name is None else CameraId(name)
