"""What a reply to a usage batch means: the table of 4-billing-contract, row by row, as pure functions (ADR 0034)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.answers import Answer, Outcome, Result, excerpt, read_answer
from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.settlement import (
    Ambiguous,
    Death,
    Halve,
    Pause,
    PauseReason,
    Refused,
    Reseal,
    Retry,
    Settled,
    Settlement,
)
from tapi_agent.domain.usage import DeadReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    from tapi_agent.domain.batch import LeasedBatch
    from tapi_agent.domain.ids import BatchId, EventId


@dataclass(frozen=True, slots=True, kw_only=True)
class WireBatch:
    """What goes out, byte for byte, on every try: ``body`` under the idempotency key ``batch_id``.

    The key belongs to the extension: a ``body`` in the classic dialect goes out without one.
    """

    batch_id: BatchId
    body: bytes
    dialect: Dialect = Dialect.EXTENDED


class TransportFailure(StrEnum):
    """Why there is no HTTP reply."""

    REFUSED = "refused"
    DNS = "dns"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReply:
    """What the wire gave back for a batch.

    ``status`` and ``body`` of the HTTP reply (at most 4 MiB read), or ``failure`` when there was none; ``written`` says
    whether the whole request had gone out before it failed, so that the service may have stored it.
    """

    status: int | None = None
    body: bytes = b""
    content_type: str = ""
    retry_after: timedelta | None = None
    failure: TransportFailure | None = None
    written: bool = True


NOTHING_STORED_LIMIT: Final = 5
"""After so many "nothing stored" in a row, while other batches are taken, the fault is in the batch."""

_STORED: Final = (Outcome.ACCEPTED, Outcome.DUPLICATE)
_EXTENSION: Final = ("batch_id", "prev_sha256", "first_seq", "last_seq")
_UNWANTED: Final = ("unknown", "unexpected", "unrecognized", "extra", "additional", "not permitted", "not allowed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the service before the reply.

    ``dedupes``: it dedupes by event id, so that the same bytes may go out again although the first ones may have
    arrived. ``may_fall_back``: the extension's fields may be given up if it refuses them.
    """

    dedupes: bool
    may_fall_back: bool = False


def read_reply(reply: UsageReply, batch: LeasedBatch, known: Known) -> Settlement:
    """What becomes of ``batch`` after ``reply``."""
    if reply.status is None:
        return _without_reply(reply, known)
    if 200 <= reply.status < 300:  # noqa: PLR2004 - 2xx, as everybody writes it
        return _success(reply, batch, known)
    handler = _BY_STATUS.get(reply.status) or (_failed if reply.status >= 500 else _not_the_service)  # noqa: PLR2004
    return handler(reply, batch, known)


def _without_reply(reply: UsageReply, known: Known) -> Settlement:
    match reply.failure:
        case TransportFailure.REFUSED | TransportFailure.DNS:
            return _not_delivered(reply, PauseReason.UNREACHABLE)
        case TransportFailure.TLS:
            return _not_delivered(reply, PauseReason.TLS)
        case _:
            return _unknown(reply, known)


def _unknown(reply: UsageReply, known: Known) -> Settlement:
    """The service may have stored it: only one that dedupes may be sent the same bytes again."""
    if known.dedupes or not reply.written:
        return Retry(detail=_said(reply), retry_after=reply.retry_after)
    return Ambiguous(detail=_said(reply), retry_after=reply.retry_after)


def _success(reply: UsageReply, batch: LeasedBatch, known: Known) -> Settlement:
    answer = read_answer(reply.body)
    if answer is None and "json" not in reply.content_type.lower():
        return _not_delivered(reply, PauseReason.NOT_THE_SERVICE)
    if answer is not None and _is_of_another(answer, batch):
        return _not_delivered(reply, PauseReason.NOT_THE_SERVICE)
    if answer is not None and (results := _results_that_count(answer, batch, known)) is not None:
        return settled_by(results, batch.event_ids)
    if answer is None or answer.accepted is None:
        return _unreadable(reply, known)
    return _by_counts(reply, answer.accepted, answer.rejected or 0, batch)


def _is_of_another(answer: Answer, batch: LeasedBatch) -> bool:
    """Whether the reply names a batch, and not ours. A classic request named none: there it is the service's own."""
    extended = batch.dialect is Dialect.EXTENDED
    return extended and answer.batch_id is not None and answer.batch_id != str(batch.batch_id)


def _own_results(answer: Answer, batch: LeasedBatch) -> Mapping[UUID, Result] | None:
    return answer.results if answer.batch_id == str(batch.batch_id) else None


def _results_that_count(answer: Answer, batch: LeasedBatch, known: Known) -> Mapping[UUID, Result] | None:
    """Those about no event of ours may be of a service that lists errors only: its counts say what it has stored."""
    results = _own_results(answer, batch)
    if results is None or known.dedupes or not answer.accepted:
        return results
    return results if _are_about(results, batch) else None


def _are_about(results: Mapping[UUID, Result], batch: LeasedBatch) -> bool:
    return not results.keys().isdisjoint(batch.event_ids)


def settled_by(results: Mapping[UUID, Result], event_ids: Sequence[EventId]) -> Settled:
    """What per-event results make of these events; one that is not mentioned goes out again."""
    known = {event_id: results[event_id] for event_id in event_ids if event_id in results}
    dead = {
        event_id: Death(code=result.code or DeadReason.REJECTED, detail=result.detail)
        for event_id, result in known.items()
        if result.outcome is Outcome.REJECTED
    }
    synced = frozenset(event_id for event_id, result in known.items() if result.outcome in _STORED)
    again = frozenset(event_ids) - synced - dead.keys()
    return Settled(synced=synced, dead=dead, again=again, dedupes=True if known else None)


def _by_counts(reply: UsageReply, accepted: int, rejected: int, batch: LeasedBatch) -> Settlement:
    if accepted == len(batch.event_ids) and rejected == 0:
        # Only a service that was given ids can show that it does not mind them.
        dedupes = False if batch.dialect is Dialect.EXTENDED else None
        return Settled(synced=frozenset(batch.event_ids), dedupes=dedupes)
    if accepted > 0:
        return Ambiguous(detail=f"{accepted} of {len(batch.event_ids)} stored: {excerpt(reply.body)}", partial=True)
    if batch.nothing_stored + 1 >= NOTHING_STORED_LIMIT and batch.others_delivered:
        return _divide(f"nothing stored, again and again: {excerpt(reply.body)}", batch)
    return Retry(detail=f"nothing stored: {excerpt(reply.body)}", retry_after=reply.retry_after, nothing_stored=True)


def _unreadable(reply: UsageReply, known: Known) -> Settlement:
    """JSON by its own account, but not of the contract: a service that may have stored it, or something in between."""
    pause = Pause(reason=PauseReason.NOT_THE_SERVICE, detail=_said(reply))
    if known.dedupes:
        return Retry(detail=pause.detail, pause=pause)
    return Ambiguous(detail=pause.detail, pause=pause)


def _bad_request(reply: UsageReply, batch: LeasedBatch, known: Known) -> Settlement:
    answer, detail = read_answer(reply.body), _said(reply)
    if answer is not None and (results := _own_results(answer, batch)) and _are_about(results, batch):
        return settled_by(results, batch.event_ids)
    if reply.status == HTTPStatus.UNPROCESSABLE_ENTITY and b"key_reused" in reply.body:
        return _key_reused(detail, known)
    if known.may_fall_back and batch.dialect is Dialect.EXTENDED and _names_the_extension(reply.body):
        return Reseal(detail=detail, dialect=Dialect.CLASSIC)
    return _divide(detail, batch)


def _key_reused(detail: str, known: Known) -> Settlement:
    """Something else is stored under our key: a bug. The event ids protect, where the service looks at them."""
    pause = Pause(reason=PauseReason.KEY_REUSED, detail=detail)
    return Reseal(detail=detail, pause=pause) if known.dedupes else Ambiguous(detail=detail, pause=pause)


def _names_the_extension(body: bytes) -> bool:
    words = excerpt(body).lower()
    return any(name in words for name in _EXTENSION) and any(word in words for word in _UNWANTED)


def _divide(detail: str, batch: LeasedBatch) -> Settlement:
    if batch.held:  # dividing it once more would only find out again what is known
        return Retry(detail=detail, service_wide=False)
    if len(batch.event_ids) == 1:
        return Refused(death=Death(code=DeadReason.REFUSED, detail=detail))
    return Halve(detail=detail)


def _too_large(reply: UsageReply, batch: LeasedBatch, _: Known) -> Settlement:
    if len(batch.event_ids) > 1:
        return Halve(detail=_said(reply), max_bytes=len(batch.body) // 2)
    return Refused(death=Death(code=DeadReason.TOO_LARGE, detail=_said(reply)), at_once=True)


def _in_progress(reply: UsageReply, _: LeasedBatch, __: Known) -> Settlement:
    return Retry(detail=_said(reply), retry_after=reply.retry_after, service_wide=False)


def _busy(reply: UsageReply, _: LeasedBatch, __: Known) -> Settlement:
    return Retry(detail=_said(reply), retry_after=reply.retry_after)


def _failed(reply: UsageReply, _: LeasedBatch, known: Known) -> Settlement:
    return _unknown(reply, known)


def _unauthorized(reply: UsageReply, _: LeasedBatch, __: Known) -> Settlement:
    return _not_delivered(reply, PauseReason.UNAUTHORIZED)


def _not_found(reply: UsageReply, _: LeasedBatch, __: Known) -> Settlement:
    return _not_delivered(reply, PauseReason.NOT_FOUND)


def _not_the_service(reply: UsageReply, _: LeasedBatch, __: Known) -> Settlement:
    """A status that the contract does not know: a redirect, or something between us and the service."""
    redirect = reply.status is not None and reply.status < HTTPStatus.BAD_REQUEST
    return _not_delivered(reply, PauseReason.REDIRECTED if redirect else PauseReason.NOT_THE_SERVICE)


_BY_STATUS: Final[Mapping[int, Callable[[UsageReply, LeasedBatch, Known], Settlement]]] = {
    HTTPStatus.BAD_REQUEST: _bad_request,
    HTTPStatus.UNAUTHORIZED: _unauthorized,
    HTTPStatus.FORBIDDEN: _unauthorized,
    HTTPStatus.NOT_FOUND: _not_found,
    HTTPStatus.REQUEST_TIMEOUT: _busy,
    HTTPStatus.CONFLICT: _in_progress,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _too_large,
    HTTPStatus.UNPROCESSABLE_ENTITY: _bad_request,
    HTTPStatus.TOO_EARLY: _busy,
    HTTPStatus.TOO_MANY_REQUESTS: _busy,
    HTTPStatus.SERVICE_UNAVAILABLE: _busy,
    HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED: _not_the_service,
}
"""Of the statuses not named here (and not 2xx) a 5xx leaves open what was stored; the others are no answer."""


def _not_delivered(reply: UsageReply, reason: PauseReason) -> Retry:
    detail = _said(reply)
    return Retry(detail=detail, retry_after=reply.retry_after, pause=Pause(reason=reason, detail=detail))


def _said(reply: UsageReply) -> str:
    if reply.status is None:
        return f"no reply: {reply.failure or 'unknown'}"
    return f"HTTP {reply.status}: {excerpt(reply.body)}".rstrip(": ")
