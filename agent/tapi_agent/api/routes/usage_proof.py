"""Usage that an operator proves, compares and decides about. Long work goes day by day, so that no call is long."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import Field

from tapi_agent.api.access import context_of, needs
from tapi_agent.api.bodies import Body, read_model
from tapi_agent.api.peer import Level, Peer
from tapi_agent.api.replies import Reply
from tapi_agent.api.schemas import plain
from tapi_agent.api.usage_documents import (
    batches_document,
    comparison_document,
    day_document,
    outline_document,
    replay_document,
)
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.ids import BatchId, EventId
from tapi_agent.ports.proof import LetterQuery

router = APIRouter(prefix="/api/v1/usage", dependencies=[needs(Level.METER)])

_MOST_LETTERS: Final = 100
_AT_ONCE: Final = 100
"""Letters of one call: each may cost a question to the service."""

Limit = Annotated[int, Query(ge=1, le=_MOST_LETTERS)]
After = Annotated[int, Query(ge=0)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class Verdict(Body):
    """The operator's word on a batch, and why it is so."""

    stored: bool
    reason: Text


class ReplayRequest(Body):
    """Which letters: of these events, with this code, or all; behind ``after``, as the reply's ``last`` says."""

    event_ids: Annotated[list[str], Field(max_length=_AT_ONCE)] | None = None
    code: Text | None = None
    all: bool = False
    after: Annotated[int, Field(ge=0)] = 0


@router.get("/verify")
async def outline(request: Request) -> Reply:
    """The days there are to verify, and what is wrong with the whole."""
    return Reply(outline_document(await context_of(request).proof.verification.outline()))


@router.get("/verify/batches")
async def verify_batches(request: Request, after: UUID | None = None) -> Reply:
    """The next batches behind ``after``; ``last`` is null when there are no more."""
    last = None if after is None else BatchId(after)
    return Reply(batches_document(await context_of(request).proof.verification.batches(after=last)))


@router.get("/verify/{day}")
async def verify_day(request: Request, day: date) -> Reply:
    """The equations of one UTC day, at one instant."""
    return Reply(day_document(await context_of(request).proof.verification.day(day)))


@router.get("/reconcile")
async def days(request: Request) -> Reply:
    """The days there are to compare."""
    return Reply({"days": plain(await context_of(request).proof.reconciliation.days())})


@router.get("/reconcile/{day}")
async def compare(request: Request, day: date, *, every_id: bool = False) -> Reply:
    """What the billing service has of a UTC day, beside what it must have."""
    return Reply(comparison_document(await context_of(request).proof.reconciliation.day(day, every_id=every_id)))


@router.post("/reconcile/{day}", dependencies=[needs(Level.OPERATE)])
async def resend(request: Request, day: date, *, every_id: bool = False) -> Reply:
    """The same, and what a service that dedupes lacks goes out again."""
    return Reply(comparison_document(await context_of(request).proof.reconciliation.resend(day, every_id=every_id)))


@router.get("/held")
async def held(request: Request) -> Reply:
    """Batches that wait for a word, oldest first."""
    return Reply({"batches": [plain(batch) for batch in await context_of(request).proof.letters.held()]})


@router.post("/held/{batch_id}", dependencies=[needs(Level.OPERATE)])
async def decide(request: Request, batch_id: UUID) -> Reply:
    """The operator's word on an ambiguous batch; logged."""
    verdict = await read_model(request, Verdict)
    peer: Peer = request.state.peer
    events = await context_of(request).proof.verdicts.decide(
        BatchId(batch_id), stored=verdict.stored, reason=verdict.reason, by=peer.user
    )
    return Reply({"batch_id": str(batch_id), "stored": verdict.stored, "events": events})


@router.get("/dead-letters")
async def dead_letters(
    request: Request,
    code: str | None = None,
    since: datetime | None = None,
    after: After = 0,
    limit: Limit = _MOST_LETTERS,
) -> Reply:
    """Dead letters in the order they died; ``last`` is null when there are no more. No zone is UTC."""
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    letters = await context_of(request).proof.letters.find(
        LetterQuery(code=code, since=since, after=after, limit=limit)
    )
    last = letters[-1].dead_letter_id if len(letters) == limit else None
    return Reply({"letters": [plain(letter) for letter in letters], "last": last})


@router.post("/replay", dependencies=[needs(Level.OPERATE)])
async def replay(request: Request) -> Reply:
    """Let events of dead letters wait again, under their own ids, where that cannot bill twice."""
    asked = await read_model(request, ReplayRequest)
    return Reply(replay_document(await context_of(request).proof.letters.replay(_query(asked))))


def _query(asked: ReplayRequest) -> LetterQuery:
    chosen: list[Any] = [asked.event_ids is not None, asked.code is not None, asked.all]
    if sum(chosen) != 1:
        raise InvalidInputError("which letters is not said", code="missing", fix="send one of event_ids, code and all")
    event_ids = None if asked.event_ids is None else [_event_id(text) for text in asked.event_ids]
    return LetterQuery(event_ids=event_ids, code=asked.code, after=asked.after, limit=_AT_ONCE)


def _event_id(text: str) -> EventId:
    try:
        return EventId(UUID(text))
    except ValueError as error:
        raise InvalidInputError(
            f"{ascii(text)[:60]} is no event id", code="uuid_parsing", pointer="#/event_ids", fix="send UUIDs"
        ) from error
