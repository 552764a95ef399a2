"""Is the agent alive, can it answer, what is wrong around it, and the metrics."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from tapi_agent import telemetry
from tapi_agent.api.access import context_of
from tapi_agent.api.replies import Reply
from tapi_agent.api.schemas import dependencies_document

router = APIRouter()


@router.get("/livez")
async def livez() -> Reply:
    """The event loop runs."""
    return Reply({"status": "alive"})


@router.get("/readyz")
async def readyz(request: Request) -> Reply:
    """The agent can answer a check; being offline is normal and ready."""
    if context_of(request).licensing.started:
        return Reply({"status": "ready"})
    return Reply({"status": "starting"}, HTTPStatus.SERVICE_UNAVAILABLE)


@router.get("/healthz")
async def healthz(request: Request) -> Reply:
    """Each dependency by itself; ``degraded`` is not an error."""
    documents = dependencies_document(context_of(request).connectivity.report())
    degraded = [document["name"] for document in documents if document["up"] is False]
    return Reply({"status": "degraded" if degraded else "healthy", "degraded": degraded, "dependencies": documents})


@router.get("/metrics")
async def metrics() -> Response:
    """Prometheus text format."""
    return Response(telemetry.exposition(), media_type=telemetry.EXPOSITION_TYPE)
