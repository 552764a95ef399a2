"""How months of a partitioned table go: detached without holding anybody up, looked at once more, only then dropped.

Owns the order of the steps, each of which a kill may follow: the next run finishes what it finds (ADR 0052). Which
months are to go is the caller's. Called by ``maintenance``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from tapi_agent.adapters.postgres.partitions import attach, month_start
from tapi_agent.adapters.postgres.queries import load_queries

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import AsyncConnection, AsyncCursor
    from psycopg.rows import DictRow

_SQL: Final = load_queries("retirement")


async def retire_months(
    connection: AsyncConnection[DictRow], parent: str, before: datetime, *, only_empty: bool
) -> list[str]:
    """Drop the months of ``parent`` that ended by the start of the month of ``before``; returns their names.

    ``only_empty``: those with rows stay. ``connection`` commits by itself and has no timeouts: a detachment waits for
    every transaction that has used ``parent``.
    """
    asked = {"parent": parent, "before": before}
    found = await (await connection.execute(_SQL.months_to_look_at, asked)).fetchall()
    return [
        row["month"] for row in found if await _Month(connection, parent, row).retire(before, only_empty=only_empty)
    ]


class _Month:
    """One month, as it was found: ``attached``, or ``leaving`` where a detachment was interrupted, or left behind."""

    def __init__(self, connection: AsyncConnection[DictRow], parent: str, row: DictRow) -> None:
        self._connection = connection
        self._parent = parent
        self._row = row
        self._name: str = row["month"]

    async def retire(self, before: datetime, *, only_empty: bool) -> bool:
        """Whether it is gone; false as well while somebody else is making it."""
        claim = {"month": self._name}
        if not await (await self._connection.execute(_SQL.claim_month, claim)).fetchone():
            return False
        try:
            return await self._go(old=month_start(self._name) < before, only_empty=only_empty)
        finally:
            await self._connection.execute(_SQL.release_month, claim)

    async def _go(self, *, old: bool, only_empty: bool) -> bool:
        if self._row["attached"]:
            if only_empty and not await self._is_empty():
                return False
            await self._do(_SQL.mark_month)
            await self._do(_SQL.detach_month)
        elif self._row["leaving"]:
            await self._do(_SQL.finalize_month)
        # Nobody can reach it any more: what came in up to the last moment is seen now, and brings it back.
        if old and (not only_empty or await self._is_empty()):
            await self._do(_SQL.drop_month)
            return True
        await attach(self._connection, self._parent, self._name)
        await self._do(_SQL.unmark_month)
        return False

    async def _is_empty(self) -> bool:
        return bool((await (await self._do(_SQL.is_empty)).fetchall())[0]["empty"])

    async def _do(self, query: str) -> AsyncCursor[DictRow]:
        names = {"parent": sql.Identifier(self._parent), "month": sql.Identifier(self._name)}
        return await self._connection.execute(sql.SQL(query).format(**names))
