"""Ambiguous batches and what has been learned of the service. What a sum proves is ``domain.ambiguity``'s."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.ambiguity import MeterSum, Span
from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.settlement import ServiceMemory
from tapi_agent.failpoints import Failpoint, reach
from tapi_agent.ports.usage import Doubt, SyncStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import BatchId
    from tapi_agent.ports.usage import SyncRound

_SQL: Final = load_queries("usage_doubts")


class PostgresDoubts:
    """``ports.usage.Doubts``."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def due(self) -> Sequence[BatchId]:
        """The ambiguous batches that may be asked about now, those first that wait longest for it."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL.due)).fetchall()
        return [row["batch_id"] for row in rows]

    async def find(self, batch_id: BatchId) -> Doubt | None:
        """One of them; ``None`` when it is not in doubt any more."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL.find, {"batch_id": batch_id})).fetchone()
        return None if row is None else _doubt(row)

    async def spans(self, batch_id: BatchId) -> Sequence[Span]:
        """What is known of a batch's span of time, by tenant."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL.spans, {"batch_id": batch_id})).fetchall()
        rows.sort(key=_tenant)
        return [_span(list(group)) for _, group in groupby(rows, key=_tenant)]

    async def send_again(self, batch_id: BatchId, *, detail: str, fence: int | None = None) -> None:
        """It was not stored by the try under ``fence``, or twice does no harm: the same bytes go out again."""
        found = {"batch_id": batch_id, "detail": detail, "fence": fence}
        async with self._database.connection() as connection:
            await connection.execute(_SQL.send_again, found)
            reach(Failpoint.DOUBT_RESEND_WRITTEN)
        reach(Failpoint.DOUBT_RESEND_COMMITTED)

    async def ask_later(self, batch_id: BatchId, *, delay: timedelta) -> None:
        """Nothing could be found out."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL.ask_later, {"batch_id": batch_id, "delay": delay})


class PostgresServiceMemory:
    """``ports.usage.Memory`` on billing_sync_status: one row a billing service."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def recall(self, service: str) -> ServiceMemory:
        """What is known of a service; of a new one, nothing."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL.recall, {"service": service})).fetchone()
        return ServiceMemory() if row is None else ServiceMemory(**row | {"dialect": Dialect(row["dialect"])})

    async def remember(self, service: str, memory: ServiceMemory) -> None:
        """Keep it in place of what was known before."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL.remember, asdict(memory) | {"service": service})
            reach(Failpoint.SERVICE_LEARNED_WRITTEN)
        reach(Failpoint.SERVICE_LEARNED_COMMITTED)

    async def note(self, service: str, done: SyncRound) -> None:
        """Add a round of sending to billing_sync_status, for reports."""
        if not service:
            return
        async with self._database.connection() as connection:
            await connection.execute(_SQL.note, asdict(ServiceMemory()) | asdict(done) | {"service": service})

    async def status(self, service: str) -> SyncStatus | None:
        """How sending has gone so far."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL.status, {"service": service})).fetchone()
        return None if row is None else SyncStatus(**row)


def _doubt(row: DictRow) -> Doubt:
    return Doubt(**row | {"dialect": Dialect(row["dialect"]), "event_ids": tuple(row["event_ids"])})


def _tenant(row: DictRow) -> str:
    return str(row["tenant_id"])


def _span(rows: Sequence[DictRow]) -> Span:
    fields = ("meter", "batch", "known", "others", "clear", "under_way")
    meters = (MeterSum(**{name: row[name] for name in fields}) for row in rows)
    place = rows[0]
    return Span(tenant_id=place["tenant_id"], first=place["first"], last=place["last"], meters=tuple(meters))
