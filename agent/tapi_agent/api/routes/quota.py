"""Quota routes: what is left, and spending of it: reserve before the use, commit or release after it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import Field

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.bodies import Body, read_model
from tapi_agent.api.idempotency import Once
from tapi_agent.api.peer import Level, Peer
from tapi_agent.api.replies import Reply
from tapi_agent.api.schemas import plain
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.ids import CameraId
from tapi_agent.domain.quantity import literal, read_quantity
from tapi_agent.services.quotas import DEFAULT_TTL, LONGEST_TTL, Denial, Grant, ReserveRequest

router = APIRouter(prefix="/api/v1/quota")

Seconds = Annotated[int | Decimal, Field(gt=0, le=int(LONGEST_TTL.total_seconds()))]
Finding = Callable[[], Coroutine[Any, Any, Grant | Denial]]
_OF_GRANTS: Final = {"reservation_id": None, "reserved_at": None, "expires_at": None, "overage": False}
_OF_DENIALS: Final = {"reason": None, "detail": None, "fix": None, "retryable": False}


class Reserve(Body):
    """``amount`` (an exact number or decimal string) of ``meter``, to be kept back for at most ``ttl_s`` seconds."""

    meter: str
    amount: object
    ttl_s: Seconds | None = None
    camera_id: Annotated[str, Field(max_length=128)] | None = None


class Commit(Body):
    """What was really used of a reservation; the other fields are those of the event that this becomes."""

    reservation_id: str
    actual: object
    resource_id: str | None = None
    resource_type: str | None = None
    billable: bool | None = None
    metadata: dict[str, object] | None = None


class Release(Body):
    """The reservation that is not needed."""

    reservation_id: str


@router.get("", dependencies=[needs(Level.CHECK)])
async def quota(request: Request) -> Reply:
    """How every quota stands, over all agents of the tenant."""
    statuses = context_of(request).quotas.statuses()
    return Reply({"quotas": plain(statuses), "complete": all(status.complete for status in statuses)})


@router.post("/reserve", dependencies=[needs(Level.METER)])
async def reserve(request: Request) -> Reply:
    """Keep an amount back; a denial is a 200 with ``granted`` false.

    With an ``Idempotency-Key`` the same request gets the same reservation, for as long as that lasts.
    """
    wanted = _wanted(await read_model(request, Reserve))
    find = partial(context_of(request).quotas.reserve, wanted)
    key = request.headers.get("idempotency-key")
    return Reply(_document(await _once(request, key, wanted, find) if key else await find()))


@router.post("/commit", dependencies=[needs(Level.METER)])
async def commit(request: Request) -> Reply:
    """Record what was used, as one event however often this is sent; the rest of the reservation is given back."""
    done = await read_model(request, Commit)
    details = done.model_dump(exclude={"reservation_id", "actual"}, exclude_none=True)
    return Reply(plain(await context_of(request).quotas.commit(done.reservation_id, done.actual, details)))


@router.post("/release", dependencies=[needs(Level.METER)])
async def release(request: Request) -> Reply:
    """Give a whole reservation back."""
    reservation = (await read_model(request, Release)).reservation_id
    context_of(request).quotas.release(reservation)
    return Reply({"reservation_id": reservation, "released": True})


def remembered() -> Once[Grant | Denial]:
    """Reservations by idempotency key; a denial is no reason not to ask again."""
    return Once(_end_of)


def _end_of(answer: Grant | Denial) -> datetime | None:
    return answer.expires_at if isinstance(answer, Grant) else None


async def _once(request: Request, key: str, wanted: ReserveRequest, find: Finding) -> Grant | Denial:
    peer: Peer = request.state.peer
    answers: Once[Grant | Denial] = request.app.state.reservations
    now = context_of(request).clock.now()
    # By user: nobody gets a reservation by guessing another one's key. By digest: a key may be long.
    return await answers.answer((peer.uid, sha256(key.encode()).digest()), wanted, now=now, find=find)


def _wanted(asked: Reserve) -> ReserveRequest:
    return ReserveRequest(
        meter=asked.meter,
        amount=_exact(asked.amount),
        ttl=DEFAULT_TTL if asked.ttl_s is None else timedelta(seconds=float(asked.ttl_s)),
        camera_id=CameraId(asked.camera_id or ""),
    )


def _exact(amount: object) -> Decimal:
    """Without an exponent, however it was written."""
    try:
        return Decimal(literal(read_quantity(amount)))
    except InvalidInputError as error:
        raise InvalidInputError(str(error), code=error.code, pointer="#/amount", fix=error.fix) from error


def _document(answer: Grant | Denial) -> dict[str, Any]:
    """Both with the same fields."""
    if isinstance(answer, Grant):
        return {"granted": True, **plain(answer), **_OF_DENIALS}
    return {"granted": False, **plain(answer), **_OF_GRANTS}
