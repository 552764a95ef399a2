"""Months of a partitioned table, made on demand: there is no DEFAULT partition to catch what has no month (ADR 0011).

Owns the naming (``usage_events_2026_03``), the bounds (UTC months) and the locking. Called by repositories when a month
is ahead, or when an insert found none (SQLSTATE 23514 without a constraint name). How they go is ``retirement``'s.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from psycopg import sql

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.months import months, next_month

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database

_SQL: Final = load_queries("partitions")


async def make_months(database: Database, parent: str, times: Iterable[datetime]) -> None:
    """Make sure that ``parent`` has the months of these times, each made in a transaction of its own."""
    for at in {(at.year, at.month): at for at in (time.astimezone(UTC) for time in times)}.values():
        async with database.connection() as connection:
            await ensure_month(connection, parent, at)


async def ensure_month(connection: AsyncConnection[DictRow], parent: str, at: datetime) -> None:
    """Make sure that table ``parent`` has the month of ``at``. See ``ensure_months`` for the transaction it needs."""
    await ensure_months(connection, parent, at, at)


async def ensure_months(connection: AsyncConnection[DictRow], parent: str, first: datetime, last: datetime) -> None:
    """Make sure that ``parent`` has every month from ``first`` to ``last``, both included; what exists is left alone.

    Call it in a transaction of its own: until the commit it holds a lock against others who do the same; readers and
    writers of the other months never wait for it. ``parent`` is an unqualified name, the times are aware. Raises
    ``UnavailableError`` while one of the months is being taken away.
    """
    for start, _ in months(first, last):
        if not await _exists(connection, parent, start):
            await connection.execute(_SQL.lock_parent, {"parent": parent})
            if not await _exists(connection, parent, start):
                await _create(connection, parent, month_name(parent, start))


def month_name(parent: str, start: datetime) -> str:
    """The partition's table name, such as ``usage_events_2026_03``."""
    return f"{parent}_{start:%Y_%m}"


def month_start(month: str) -> datetime:
    """When the month of a partition's name begins: the inverse of ``month_name``."""
    return datetime.fromisoformat(f"{month[-7:].replace('_', '-')}-01T00:00:00+00:00")


async def attach(connection: AsyncConnection[DictRow], parent: str, month: str) -> None:
    """Make the table ``month`` a part of ``parent``."""
    start = month_start(month)
    bounds = {"start": sql.Literal(start), "end": sql.Literal(next_month(start))}
    await connection.execute(
        sql.SQL(_SQL.attach_month).format(parent=sql.Identifier(parent), month=sql.Identifier(month), **bounds)
    )


async def _exists(connection: AsyncConnection[DictRow], parent: str, start: datetime) -> bool:
    names = {"parent": parent, "month": month_name(parent, start)}
    row = await (await connection.execute(_SQL.month_exists, names)).fetchone()
    if row is not None and row["leaving"]:
        raise _leaving(names["month"])
    return row is not None


async def _create(connection: AsyncConnection[DictRow], parent: str, month: str) -> None:
    claim = await (await connection.execute(_SQL.claim_month, {"month": month})).fetchone()
    if claim is None:
        raise _leaving(month)
    names = {"parent": sql.Identifier(parent), "month": sql.Identifier(month)}
    await connection.execute(sql.SQL(_SQL.create_month).format(**names))
    await attach(connection, parent, month)


def _leaving(month: str) -> UnavailableError:
    return UnavailableError(f"{month} is just being taken away", fix="wait: maintenance will be done with it shortly")
