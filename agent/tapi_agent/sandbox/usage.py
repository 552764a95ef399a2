"""Billing a batch of usage: what is accepted, what is a duplicate, and what the reply to it was.

Writes the tables billed and batches. Each function runs within one transaction of the ledger: a batch is billed and its
reply remembered together, or neither is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tapi_agent.domain.errors import RejectedError
from tapi_agent.sandbox import amounts, exact_json, times
from tapi_agent.sandbox.faults import Forced

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from tapi_agent.sandbox import wire
    from tapi_agent.sandbox.batches import Candidate, SealedBatch

Facts = tuple[str | int, ...]
"""The columns of one line that say what was billed."""
Line = tuple["Candidate", Facts]
"""What is to be billed now."""


class Outcome(StrEnum):
    """What became of one event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the reply says about one event."""

    event_id: str
    status: Outcome
    code: str = ""
    detail: str = ""

    @property
    def stored(self) -> bool:
        """Whether the event is in the ledger, now or since before."""
        return self.status in {Outcome.ACCEPTED, Outcome.DUPLICATE}


def bill_classic(
    db: sqlite3.Connection, account: str, candidates: Sequence[Candidate], forced: Sequence[Forced]
) -> list[str]:
    """Bill every good event, seen before or not, as the service of today does. Returns the others' errors."""
    lines, errors = [], []
    for index, (candidate, force) in enumerate(zip(candidates, forced, strict=True)):
        if candidate.event is not None and force is Forced.ACCEPTED:
            lines.append((candidate, _facts(candidate.event)))
        else:
            errors.append(f"event {index}: {candidate.detail or 'fault injected'}")
    _insert(db, account, None, lines)
    return errors


def bill_sealed(
    db: sqlite3.Connection, account: str, batch: SealedBatch, forced: Sequence[Forced], now: datetime
) -> list[Result]:
    """Bill the events that were never billed before, once and for ever.

    The same request again gets its first results again, word for word. ``RejectedError`` ``key_reused`` for another
    request under the same key.
    """
    earlier = _results_of(db, account, batch)
    if earlier is not None:
        return earlier
    known = find(db, account, (candidate.event_id for candidate in batch.candidates))
    billed = {event_id: tuple(line)[2:] for event_id, line in known.items()}
    results, lines = _judge(batch.candidates, forced, billed=billed)
    _remember(db, account, batch, now, results)
    _insert(db, account, batch.seal.batch_id, lines)
    return results


def find(db: sqlite3.Connection, account: str, event_ids: Iterable[str]) -> dict[str, sqlite3.Row]:
    """The line that billed each event, by event id; an event that was never billed is not in it."""
    query = """
        SELECT event_id, batch_id, tenant_id, event_type, unit, quantity, day, event_time_us FROM billed
        WHERE account = ? AND batch_id IS NOT NULL AND event_id IN (SELECT value FROM json_each(?))"""
    return {row["event_id"]: row for row in db.execute(query, (account, json.dumps(list(event_ids))))}


def _judge(
    candidates: Sequence[Candidate], forced: Sequence[Forced], *, billed: dict[str, Facts]
) -> tuple[list[Result], list[Line]]:
    """What to say of each event, and what to bill. ``billed`` is what was billed before, and grows."""
    results, lines = [], []
    for candidate, force in zip(candidates, forced, strict=True):
        if force is Forced.ABSENT:
            continue
        result = _result(candidate, force, billed.get(candidate.event_id))
        results.append(result)
        if candidate.event and result.status is Outcome.ACCEPTED:
            facts = billed[candidate.event_id] = _facts(candidate.event)
            lines.append((candidate, facts))
    return results, lines


def _result(candidate: Candidate, force: Forced, billed: Facts | None) -> Result:
    """A known id decides first: whatever comes under it now, it has been billed; something else is remarked on."""
    if billed is not None:
        same = candidate.event is not None and _facts(candidate.event) == billed
        return Result(event_id=candidate.event_id, status=Outcome.DUPLICATE, code="" if same else "differs")
    if force is not Forced.ACCEPTED:
        return Result(event_id=candidate.event_id, status=Outcome(force), code="fault", detail="fault injected")
    if candidate.event is None:
        bad = candidate
        return Result(event_id=bad.event_id, status=Outcome.REJECTED, code=bad.code, detail=bad.detail)
    return Result(event_id=candidate.event_id, status=Outcome.ACCEPTED)


def _results_of(db: sqlite3.Connection, account: str, batch: SealedBatch) -> list[Result] | None:
    query = "SELECT body_sha256, results FROM batches WHERE account = ? AND batch_id = ?"
    row = db.execute(query, (account, batch.seal.batch_id)).fetchone()
    if row is None:
        return None
    if row["body_sha256"] != batch.body_sha256:
        raise RejectedError(f"batch {batch.seal.batch_id} was stored with another body", code="key_reused")
    return [Result(**{**said, "status": Outcome(said["status"])}) for said in json.loads(row["results"])]


def _remember(
    db: sqlite3.Connection, account: str, batch: SealedBatch, now: datetime, results: Sequence[Result]
) -> None:
    db.execute(
        """
        INSERT INTO batches (account, batch_id, body_sha256, device_id, stream, first_seq, last_seq,
                             sha256, prev_sha256, received_at, results)
        VALUES (:account, :batch_id, :body_sha256, :device_id, :stream, :first_seq, :last_seq,
                :sha256, :prev_sha256, :received_at, :results)""",
        batch.seal.model_dump()
        | {"account": account, "body_sha256": batch.body_sha256, "received_at": times.render(now)}
        | {"results": exact_json.dump(results).decode()},
    )


def _insert(db: sqlite3.Connection, account: str, batch_id: str | None, lines: Iterable[Line]) -> None:
    db.executemany(
        """
        INSERT INTO billed (account, batch_id, event_id, event,
                            tenant_id, event_type, unit, quantity, day, event_time_us)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        ((account, batch_id, candidate.event_id or None, candidate.text, *facts) for candidate, facts in lines),
    )


def _facts(event: wire.Event) -> Facts:
    """What is billed, as it stands in the ledger: tenant_id, event_type, unit, quantity, day, event_time_us."""
    at = event.event_time
    return (
        event.tenant_id,
        event.event_type,
        event.unit,
        amounts.literal(event.quantity),
        at.date().isoformat(),
        times.microseconds(at),
    )
