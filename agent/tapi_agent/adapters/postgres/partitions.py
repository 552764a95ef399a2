"""Months of a partitioned table, made on demand: there is no DEFAULT partition to catch what has no month (ADR 0011).

Owns the naming (``usage_events_2026_03``), the bounds (UTC months) and the locking. Called by repositories when a month
is ahead, or when an insert found none (SQLSTATE 23514 without a constraint name). Dropping old months is not done here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg import sql

from tapi_agent.adapters.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

_SQL = load_queries("partitions")
_DECEMBER = 12


async def ensure_month(connection: AsyncConnection[DictRow], parent: str, at: datetime) -> None:
    """Make sure that table ``parent`` has the month of ``at``. See ``ensure_months`` for the transaction it needs."""
    await ensure_months(connection, parent, at, at)


async def ensure_months(connection: AsyncConnection[DictRow], parent: str, first: datetime, last: datetime) -> None:
    """Make sure that ``parent`` has every month from ``first`` to ``last``, both included; what exists is left alone.

    Call it in a transaction of its own: until the commit it holds a lock against others who do the same; readers and
    writers of the other months never wait for it. ``parent`` is an unqualified name, the times are aware.
    """
    for start, end in months(first, last):
        if not await _exists(connection, parent, start):
            await connection.execute(_SQL.lock_parent, {"parent": parent})
            if not await _exists(connection, parent, start):
                await _create(connection, parent, start, end)


def months(first: datetime, last: datetime) -> Iterator[tuple[datetime, datetime]]:
    """UTC months as (start, start of the next one), from the month ``first`` is in to the month ``last`` is in."""
    start = first.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while start <= last:
        year, month = (start.year + 1, 1) if start.month == _DECEMBER else (start.year, start.month + 1)
        end = start.replace(year=year, month=month)
        yield start, end
        start = end


def month_name(parent: str, start: datetime) -> str:
    """The partition's table name, such as ``usage_events_2026_03``."""
    return f"{parent}_{start:%Y_%m}"


async def _exists(connection: AsyncConnection[DictRow], parent: str, start: datetime) -> bool:
    cursor = await connection.execute(_SQL.month_exists, {"parent": parent, "month": month_name(parent, start)})
    return await cursor.fetchone() is not None


async def _create(connection: AsyncConnection[DictRow], parent: str, start: datetime, end: datetime) -> None:
    names = {"parent": sql.Identifier(parent), "month": sql.Identifier(month_name(parent, start))}
    await connection.execute(sql.SQL(_SQL.create_month).format(**names))
    await connection.execute(sql.SQL(_SQL.attach_month).format(**names, start=sql.Literal(start), end=sql.Literal(end)))
