"""What is known to be at the billing service, by tenant, meter and day, and taking back what is not there after all."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.adapters.postgres.usage_proof import span_of
from tapi_agent.domain.proof import Amount
from tapi_agent.ports.proof import Delivered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import date

    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import EventId

_SQL: Final = load_queries("usage_letters")
_AT_ONCE: Final = 1000
_PATIENCE: Final = timedelta(minutes=10)


class PostgresDeliveries:
    """``ports.proof.Deliveries``."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def days(self) -> Sequence[date]:
        """Days of which something billable was counted."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL.delivered_days)).fetchall()
        return [row["day"] for row in rows]

    async def of_day(self, day: date) -> Sequence[Delivered]:
        """By tenant and meter."""
        async with self._database.connection(statement_timeout=_PATIENCE) as connection:
            rows = await (await connection.execute(_SQL.delivered, span_of(day))).fetchall()
        return [_delivered(row) for row in rows]

    async def events(self, *, day: date, tenant_id: str, meter: str) -> AsyncIterator[Mapping[EventId, str]]:
        """The state of each event of it that is billable, a thousand at a time, in order of id.

        No transaction waits while the service is asked in between.
        """
        asked: dict[str, object] = span_of(day) | {
            "tenant_id": tenant_id,
            "meter": meter,
            "after": None,
            "limit": _AT_ONCE,
        }
        while True:
            async with self._database.connection(statement_timeout=_PATIENCE) as connection:
                rows = await (await connection.execute(_SQL.events, asked)).fetchall()
            if not rows:
                return
            yield {row["event_id"]: row["state"] for row in rows}
            asked["after"] = rows[-1]["event_id"]

    async def send_again(self, event_ids: Sequence[EventId]) -> int:
        """Those of them that were taken for delivered wait again; returns how many."""
        async with self._database.connection() as connection:
            sent = await connection.execute(_SQL.send_again, {"event_ids": list(event_ids)})
        return sent.rowcount


def _delivered(row: DictRow) -> Delivered:
    return Delivered(
        tenant_id=row["tenant_id"],
        meter=row["meter"],
        synced=Amount(row["synced_events"], row["synced_quantity"]),
        in_doubt=Amount(row["doubt_events"], row["doubt_quantity"]),
        gone=row["gone"],
    )
