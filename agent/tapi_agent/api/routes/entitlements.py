"""Entitlement routes: may this camera use this feature, and why."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import uuid4

from fastapi import APIRouter, Request
from pydantic import Field

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.bodies import Body, as_model, read_model
from tapi_agent.api.context import Context
from tapi_agent.api.errors import item_error
from tapi_agent.api.peer import Level
from tapi_agent.api.replies import Reply
from tapi_agent.api.schemas import decision_document
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.ids import CameraId

router = APIRouter(prefix="/api/v1", dependencies=[needs(Level.CHECK)])

_MOST_CHECKS: Final = 1000
Text = Annotated[str, Field(max_length=128)]


class Check(Body):
    """One question: ``feature`` as ``category.name``, for a camera or (without one) the tenant. ``id`` is echoed."""

    feature: Annotated[Text, Field(min_length=1)]
    camera_id: Text | None = None
    id: Text | int | None = None


class Batch(Body):
    """Up to 1000 checks; each is judged for itself."""

    checks: Annotated[list[object], Field(max_length=_MOST_CHECKS)]


@router.get("/entitlements")
async def entitlements(request: Request, camera: str | None = None) -> Reply:
    """Every known feature's decision for a camera, or the tenant without one."""
    context = context_of(request)
    answers = context.entitlements.table(CameraId(camera) if camera else None)
    now = context.clock.now()
    return Reply(
        {
            "camera_id": camera or None,
            "generation": context.entitlements.generation,
            "features": [decision_document(answer, now) for answer in answers],
        }
    )


@router.post("/check")
async def check(request: Request) -> Reply:
    """One decision; a denial is a 200 with ``allowed`` false."""
    return Reply(_decide(context_of(request), await read_model(request, Check)))


@router.post("/check/batch")
async def check_batch(request: Request) -> Reply:
    """Many decisions in one request; a malformed item gets an error of its own and spoils no other."""
    batch = await read_model(request, Batch)
    context = context_of(request)
    return Reply({"results": [_decide_item(context, index, item) for index, item in enumerate(batch.checks)]})


def _decide_item(context: Context, index: int, item: object) -> dict[str, Any]:
    try:
        return _decide(context, as_model(item, Check))
    except InvalidInputError as error:
        return {"error": item_error(error, under=f"/checks/{index}")}


def _decide(context: Context, question: Check) -> dict[str, Any]:
    camera = CameraId(question.camera_id) if question.camera_id else None
    answer = context.entitlements.answer(question.feature, camera)
    document = decision_document(answer, context.clock.now()) | {"decision_id": str(uuid4())}
    return document if question.id is None else document | {"id": question.id}
