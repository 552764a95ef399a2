"""The contract's calls on usage: the batch, in both dialects, and what a client may ask about it afterwards."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.routing import Route

from tapi_agent.domain.errors import InvalidInputError, RejectedError
from tapi_agent.sandbox import batches, chain, times, totals, usage, wire
from tapi_agent.sandbox.access import account_of
from tapi_agent.sandbox.interference import misbehavior_of, refuse_extension, server_time
from tapi_agent.sandbox.replies import ExactJSON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    from tapi_agent.sandbox.batches import Candidate, SealedBatch
    from tapi_agent.sandbox.ledger import Ledger
    from tapi_agent.sandbox.usage import Result


class UsageApi:
    """Handlers; ``now`` is the service's clock."""

    def __init__(self, ledger: Ledger, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = now
        self._in_progress: set[tuple[str, str]] = set()

    def routes(self) -> list[Route]:
        """Paths below /api/v1."""
        return [
            Route("/usage/batch", self.deliver, methods=["POST"]),
            Route("/usage/batches/{batch_id}", self.stored_batch),
            Route("/usage/lookup", self.look_up, methods=["POST"]),
            Route("/usage/totals", self.daily_totals),
            Route("/billing/usage/{tenant_id:path}", self.usage_report),
        ]

    async def deliver(self, request: Request) -> Response:
        """Bill a batch. A ``batch_id`` or an Idempotency-Key makes it one of the extension."""
        body = await request.body()
        members = wire.members(body)
        key = request.headers.get("idempotency-key")
        refuse_extension(request, wire.USAGE_EXTENSION & members.keys() | ({"Idempotency-Key"} if key else set()))
        if misbehavior_of(request).classic_only or (key is None and "batch_id" not in members):
            return await self._deliver_classic(request, batches.classic_batch(members))
        body_sha256 = hashlib.sha256(body).hexdigest()
        return await self._deliver_sealed(request, batches.sealed_batch(members, key=key, body_sha256=body_sha256))

    async def _deliver_classic(self, request: Request, candidates: Sequence[Candidate]) -> Response:
        account, met = account_of(request), misbehavior_of(request)
        try:
            _fail_on_demand(met.storage_failure)
            errors = await self._ledger.write(usage.bill_classic, account, candidates, met.force(len(candidates)))
        except sqlite3.OperationalError as error:
            return _storage_failure(len(candidates), error)
        return ExactJSON(_counts(len(candidates) - len(errors), errors))

    async def _deliver_sealed(self, request: Request, batch: SealedBatch) -> Response:
        account, now, met = account_of(request), self._now(), misbehavior_of(request)
        try:
            with self._alone(account, batch.seal.batch_id):
                _fail_on_demand(met.storage_failure)
                forced = met.force(len(batch.candidates))
                results = await self._ledger.write(usage.bill_sealed, account, batch, forced, now)
        except sqlite3.OperationalError as error:
            return _storage_failure(len(batch.candidates), error)
        return ExactJSON(_sealed_reply(batch.seal.batch_id, server_time(request, now), results))

    async def stored_batch(self, request: Request) -> Response:
        """A batch of this account and its results; 404 when it was never stored."""
        _require_extension(request)
        batch_id = request.path_params["batch_id"]
        stored = await self._ledger.read(chain.batch, account_of(request), batch_id)
        if stored is None:
            raise RejectedError(f"batch {batch_id} was never stored", code="not_found")
        return ExactJSON(stored | {"server_time": server_time(request, self._now())})

    async def look_up(self, request: Request) -> Response:
        """For each event id whether it was billed, and by which batch."""
        _require_extension(request)
        asked = wire.read(wire.LookupRequest, await request.body())
        lines = await self._ledger.read(usage.find, account_of(request), asked.event_ids)
        results = [_looked_up(event_id, lines.get(event_id)) for event_id in asked.event_ids]
        return ExactJSON({"server_time": server_time(request, self._now()), "results": results})

    async def daily_totals(self, request: Request) -> Response:
        """Count and exact quantity by tenant, meter and UTC day."""
        _require_extension(request)
        rows = await self._ledger.read(totals.by_day, account_of(request), _period(request))
        return ExactJSON({"server_time": server_time(request, self._now()), "totals": rows})

    async def usage_report(self, request: Request) -> Response:
        """Sums for a tenant, of what this account has delivered for it."""
        tenant_id = request.path_params["tenant_id"]
        sums = await self._ledger.read(totals.usage_report, account_of(request), tenant_id, _period(request))
        return ExactJSON(sums)

    @contextmanager
    def _alone(self, account: str, batch_id: str) -> Iterator[None]:
        """409 while the same key is being worked on: the second request must not overtake the first one's answer."""
        claim = (account, batch_id)
        if claim in self._in_progress:
            raise RejectedError(f"batch {batch_id} is in progress", code="in_progress")
        self._in_progress.add(claim)
        try:
            yield
        finally:
            self._in_progress.remove(claim)


def _require_extension(request: Request) -> None:
    """The service of today has no such call."""
    if misbehavior_of(request).classic_only:
        raise RejectedError("Not Found", code="not_found")


def _fail_on_demand(storage_failure: bool) -> None:  # noqa: FBT001 - the only argument, named at the call
    if storage_failure:
        raise sqlite3.OperationalError("fault injected")


def _storage_failure(count: int, error: sqlite3.OperationalError) -> Response:
    """The contract's way to say that nothing was stored, in either dialect. The key is still free."""
    return ExactJSON(_counts(0, [f"storage: {error}"]) | {"rejected_count": count})


def _sealed_reply(batch_id: str, at: str, results: Sequence[Result]) -> dict[str, object]:
    """A classic reply that says more: a client that knows only the counts reads it right."""
    refused = [f"{result.event_id}: {result.detail}" for result in results if not result.stored]
    counts = _counts(len(results) - len(refused), refused)
    return counts | {"batch_id": batch_id, "server_time": at, "results": results}


def _counts(accepted: int, errors: Sequence[str]) -> dict[str, object]:
    return {"accepted_count": accepted, "rejected_count": len(errors), "errors": errors}


def _looked_up(event_id: str, line: sqlite3.Row | None) -> dict[str, object]:
    if line is None:
        return {"event_id": event_id, "status": "unknown", "batch_id": None}
    return {"event_id": event_id, "status": "accepted", "batch_id": line["batch_id"]}


def _period(request: Request) -> totals.Period:
    """``start`` and ``end`` of the query. A plus sign in it must be written %2B: as it stands it means a space."""
    try:
        start, end = (times.parse(request.query_params.get(name)) for name in ("start", "end"))
    except ValueError as error:
        raise InvalidInputError(f"start and end: each {error}", code="bad_period") from error
    return totals.Period(start=start, end=end)
