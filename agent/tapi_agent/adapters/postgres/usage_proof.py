"""The database as evidence: days at one instant, streamed, and batches with their events. It judges nothing.

A day is read in one transaction and through a cursor of the server, so that neither a backlog nor a long month has to
fit into memory here.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.batch import Dialect, Member
from tapi_agent.domain.batch_proof import KeptBatch
from tapi_agent.domain.proof import Account, Amount, Fault, Finding, KeptEvent
from tapi_agent.ports.proof import Arrival, Counted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import date

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import BatchId, StreamId

_SQL: Final = load_queries("usage_proof")

_AT_ONCE: Final = 1000
_MOST_FINDINGS: Final = 100
_PATIENCE: Final = timedelta(minutes=10)
"""For what looks at every row there is; a person waits for it."""
_DAY: Final = timedelta(days=1)


class PostgresProof:
    """``ports.proof.ProofStore``."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def days(self) -> Sequence[date]:
        """Days of event_time of which anything is known."""
        async with self._database.connection(statement_timeout=_PATIENCE) as connection:
            rows = await (await connection.execute(_SQL.days)).fetchall()
        return [row["day"] for row in rows]

    async def structure(self) -> Sequence[Finding]:
        """Places that are taken twice, and chains of batches that do not hold."""
        async with self._database.connection(statement_timeout=_PATIENCE) as connection:
            twice = await (await connection.execute(_SQL.taken_twice, {"limit": _MOST_FINDINGS})).fetchall()
            links = await (await connection.execute(_SQL.broken_links, {"limit": _MOST_FINDINGS})).fetchall()
        return [*map(_taken_twice, twice), *map(_broken_link, links)]

    @asynccontextmanager
    async def day(self, day: date) -> AsyncIterator[PostgresSnapshot]:
        """One day, at one instant."""
        async with self._instant() as connection:
            yield PostgresSnapshot(connection, day)

    async def batches(self, *, after: BatchId | None, limit: int) -> Sequence[KeptBatch]:
        """The next batches in order of their ids, each with its events."""
        async with self._instant() as connection:
            cursor = await connection.execute(_SQL.batches, {"after": after, "limit": limit})
            return [await _with_members(connection, row) for row in await cursor.fetchall()]

    @asynccontextmanager
    async def _instant(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """A transaction that sees one instant; that must be said before anything else is."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL.one_instant)
            await connection.execute(_SQL.patient)
            connection.patience = _PATIENCE
            yield connection


class PostgresSnapshot:
    """``ports.proof.Snapshot``: the instant is that of the first question."""

    def __init__(self, connection: AsyncConnection[DictRow], day: date) -> None:
        self._connection = connection
        self._asked = span_of(day)

    async def drained_seq(self, stream: StreamId) -> int:
        """How far a stream has come; 0 when it is not known."""
        rows = await self._rows(_SQL.drained_seq, stream=stream)
        return int(rows[0]["drained_seq"]) if rows else 0

    async def arrivals(self) -> Sequence[Arrival]:
        """What arrived."""
        return [_arrival(row) for row in await self._rows(_SQL.arrivals)]

    async def duplicates(self) -> Mapping[Account, Amount]:
        """Repeats, under the account of the event they repeat."""
        return {_account(row): Amount(row["events"], row["quantity"]) for row in await self._rows(_SQL.duplicates)}

    async def unborn(self) -> Sequence[tuple[StreamId, str]]:
        """Streams and texts of dead letters that never became a row: at least those of the day."""
        rows = await self._rows(_SQL.unborn, mark=f'"event_time":"{self._asked["day"]}')
        return [(row["stream"], bytes(row["event"]).decode(errors="replace")) for row in rows]

    async def totals(self) -> Sequence[Counted]:
        """What was counted, beside the rows it should be the sum of."""
        return [_counted(row, self._asked["day"]) for row in await self._rows(_SQL.totals)]

    async def events(self) -> AsyncIterator[Sequence[KeptEvent]]:
        """All events, a thousand at a time, in no order."""
        async with self._connection.cursor(name="events") as cursor:
            await cursor.execute(_SQL.events, self._asked)
            while rows := await cursor.fetchmany(_AT_ONCE):
                yield [KeptEvent(**row) for row in rows]

    async def _rows(self, query: str, **parameters: object) -> Sequence[DictRow]:
        return await (await self._connection.execute(query, self._asked | parameters)).fetchall()


def span_of(day: date) -> dict[str, object]:
    """A UTC day as parameters: ``day``, and the instants ``first`` and ``end``, which is the next day's."""
    first = datetime.combine(day, time(), UTC)
    return {"day": day, "first": first, "end": first + _DAY}


async def _with_members(connection: AsyncConnection[DictRow], row: DictRow) -> KeptBatch:
    states = ["sealed"] if row["body"] is not None else ["synced", "dead"]
    cursor = await connection.execute(_SQL.members, {"batch_id": row["batch_id"], "states": states})
    members = [Member(**member) for member in await cursor.fetchall()]
    return KeptBatch(**row | {"dialect": Dialect(row["dialect"]), "members": members})


def _taken_twice(row: DictRow) -> Finding:
    subject = f"stream {row['stream']}, seq {row['seq']}"
    return Finding(fault=Fault.PLACE_TWICE, subject=subject, detail=f"{row['times']} rows stand in this place")


def _broken_link(row: DictRow) -> Finding:
    what = "follows a batch that is not there" if row["used"] > row["made"] else "is followed by no other"
    detail = f"a batch {what}: digest {row['digest']}"
    return Finding(fault=Fault.CHAIN_BROKEN, subject=f"stream {row['stream']}", detail=detail)


def _account(row: DictRow) -> Account:
    return Account(**{name: row[name] for name in ("stream", "tenant_id", "meter", "unit", "day")})


def _arrival(row: DictRow) -> Arrival:
    return Arrival(
        account=_account(row),
        arrived=Amount(row["events"], row["quantity"]),
        forgotten=Amount(row["forgotten_events"], row["forgotten_quantity"]),
        lost=Amount(row["lost_events"], row["lost_quantity"]),
    )


def _counted(row: DictRow, day: object) -> Counted:
    return Counted(
        subject=f"{day} {row['meter']} ({row['unit']}) of {row['tenant_id']}",
        counted=Amount(row["counted_events"], row["counted_quantity"]),
        rows=Amount(row["row_events"], row["row_quantity"]),
        incomplete=row["incomplete"],
    )
