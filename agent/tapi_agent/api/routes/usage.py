"""Usage routes: record events, see what was counted, send now."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.bodies import read_json
from tapi_agent.api.errors import item_error
from tapi_agent.api.peer import Level
from tapi_agent.api.replies import ExactReply, Problem, Reply
from tapi_agent.api.schemas import plain, usage_document
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.ids import TenantId
from tapi_agent.services.metering import Recorded

router = APIRouter(prefix="/api/v1/usage", dependencies=[needs(Level.METER)])

_MOST_EVENTS: Final = 1000


@router.post("/events")
async def record(request: Request) -> Response:
    """Record one event (an object) or up to 1000 (a list); each acknowledged event is durable.

    In a list the good events are kept whatever the others are: 200 all kept, 207 some, 400 none.
    """
    document = await read_json(request)
    metering = context_of(request).metering
    match document:
        case dict():
            return Reply(plain(await metering.record(document)))
        case list() if len(document) <= _MOST_EVENTS:
            return _answer(await metering.record_many(document))
        case _:
            raise InvalidInputError(
                f"the body is neither an event nor a list of at most {_MOST_EVENTS}",
                code="wrong_type",
                fix=f"send one JSON object, or a list of up to {_MOST_EVENTS}",
            )


def _answer(results: Sequence[Recorded | InvalidInputError]) -> Response:
    refused = sum(isinstance(result, InvalidInputError) for result in results)
    if not refused:
        return ExactReply({"results": results})
    documents = [_result(index, result) for index, result in enumerate(results)]
    if refused == len(results):
        return Problem(
            HTTPStatus.BAD_REQUEST,
            f"no event was kept: {refused} refused",
            code="all_refused",
            fix="correct what errors names",
            errors=[document["error"] for document in documents],
        )
    return Reply({"results": documents}, HTTPStatus.MULTI_STATUS)


def _result(index: int, result: Recorded | InvalidInputError) -> dict[str, Any]:
    if isinstance(result, InvalidInputError):
        return {"error": item_error(result, under=f"/{index}")}
    return {"event_id": str(result.event_id), "seq": result.seq}


@router.get("/summary")
async def summary(request: Request, tenant: str | None = None) -> Reply:
    """Counts and quantities by tenant, meter and UTC day of event_time: the totals plus what is still spooled."""
    return Reply(plain(await context_of(request).metering.summary(TenantId(tenant) if tenant else None)))


@router.post("/flush", dependencies=[needs(Level.OPERATE)])
async def flush(request: Request) -> Reply:
    """Drain, seal and send now; answers what became of it."""
    return Reply(usage_document(await context_of(request).delivery.flush()))
