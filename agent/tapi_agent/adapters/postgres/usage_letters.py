"""Dead letters and batches that wait for a person's word; what may be done with them is ``services.proof``'s."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.ambiguity import MeterSum, Span
from tapi_agent.ports.proof import DeadLetter, HeldBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import BatchId, EventId
    from tapi_agent.ports.proof import LetterQuery

_SQL: Final = load_queries("usage_letters")


class PostgresLetters:
    """``ports.proof.Letters``."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def find(self, query: LetterQuery) -> Sequence[DeadLetter]:
        """Those that the query asks for."""
        asked = asdict(query) | {"event_ids": None if query.event_ids is None else list(query.event_ids)}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL.find, asked)).fetchall()
        return [DeadLetter(**row | {"event": bytes(row["event"]).decode()}) for row in rows]

    async def revive(self, dead_letter_id: int) -> bool:
        """Its event waits again under the same id and the letter is gone; false when there is no row to wait."""
        async with self._database.connection() as connection:
            revived = await connection.execute(_SQL.revive, {"dead_letter_id": dead_letter_id})
        return revived.rowcount > 0

    async def span(self, dead_letter_id: int) -> Span | None:
        """What is known of the instant of its event; ``None`` when its row is gone."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL.span, {"dead_letter_id": dead_letter_id})).fetchone()
        if row is None:
            return None
        meter = MeterSum(meter=row["meter"], batch=row["letter"], known=row["known"], clear=row["clear"])
        return Span(tenant_id=row["tenant_id"], first=row["event_time"], last=row["event_time"], meters=(meter,))

    async def held(self) -> Sequence[HeldBatch]:
        """Batches that are ambiguous, or set aside because each of their events was refused alone; oldest first."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL.held)).fetchall()
        return [HeldBatch(**row) for row in rows]

    async def in_doubt(self, batch_id: BatchId) -> Sequence[EventId]:
        """The events of an ambiguous batch; none when it is not ambiguous."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL.in_doubt, {"batch_id": batch_id})).fetchall()
        return [row["event_id"] for row in rows]
