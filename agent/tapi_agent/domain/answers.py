"""The body of a reply to a usage batch as a value: counts, or results by event id. Judging it is ``delivery``'s."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST: Final = 500


class Outcome(StrEnum):
    """What a service says of one event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of ``results``; ``code`` and ``detail`` are there for a rejection."""

    outcome: Outcome
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A JSON reply: ``batch_id`` as it stands there, ``None`` for what is absent or malformed."""

    batch_id: str | None
    results: Mapping[UUID, Result] | None
    accepted: int | None
    rejected: int | None


def read_answer(body: bytes) -> Answer | None:
    """The answer in a body; ``None`` when it is no JSON object."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    batch_id = document.get("batch_id")
    return Answer(
        batch_id=None if batch_id is None else str(batch_id).lower(),
        results=_results(document.get("results")),
        accepted=_count(document.get("accepted_count")),
        rejected=_count(document.get("rejected_count")),
    )


def excerpt(body: bytes) -> str:
    """The beginning of a body as one printable line, for messages and dead letters."""
    return " ".join(body[:_LONGEST].decode(errors="replace").replace("\0", "").split())


def _results(value: object) -> dict[UUID, Result] | None:
    """Results by event id. An id that comes twice is accepted if one of them says so: it is stored, whatever else."""
    if not isinstance(value, list):
        return None
    found: dict[UUID, Result] = {}
    for item in filter(lambda item: isinstance(item, dict), value):
        event_id, result = _event_id(item), _result(item)
        if event_id is not None and _ranks(result) >= _ranks(found.get(event_id)):
            found[event_id] = result
    return found


def _ranks(result: Result | None) -> int:
    if result is None:
        return 0
    return 2 if result.outcome in (Outcome.ACCEPTED, Outcome.DUPLICATE) else 1


def _event_id(item: dict[str, object]) -> UUID | None:
    try:
        return UUID(str(item.get("event_id")))
    except ValueError:
        return None


def _result(item: dict[str, object]) -> Result:
    """One result; a status that the contract does not know decides nothing, so the event goes out again."""
    try:
        outcome = Outcome(str(item.get("status")))
    except ValueError:
        outcome = Outcome.RETRY
    return Result(outcome=outcome, code=_words(item.get("code")), detail=_words(item.get("detail")))


def _words(value: object) -> str:
    return excerpt(value.encode(errors="replace")) if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
