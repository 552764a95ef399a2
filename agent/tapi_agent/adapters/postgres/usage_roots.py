"""What became of a batch that was split, and carrying out the verdict on events that were refused alone.

The verdict itself is ``domain.bisection``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.adapters.postgres.usage_sealing import SQL, Origin, Sealer, members
from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.bisection import RootTally
from tapi_agent.domain.usage import DeadReason
from tapi_agent.failpoints import Failpoint, reach

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.adapters.postgres.usage_sealing import BatchIds
    from tapi_agent.domain.ids import BatchId

_SQL: Final = load_queries("usage_roots")


class PostgresRoots:
    """``ports.usage.Roots``."""

    def __init__(self, *, database: Database, ids: BatchIds) -> None:
        self._database = database
        self._ids = ids

    async def tally(self, root_id: BatchId) -> RootTally:
        """What became of the events of a root so far."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.tally, {"root_id": root_id, "code": DeadReason.REFUSED})
            return RootTally(**(await cursor.fetchall())[0])

    async def awaiting(self) -> Sequence[BatchId]:
        """Roots with events that were refused alone and not yet decided about."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.awaiting)
            return [row["root_id"] for row in await cursor.fetchall()]

    async def bury(self, root_id: BatchId) -> int:
        """The events that were refused alone become dead letters; returns how many."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.lock_refused, {"root_id": root_id})
            refused = await cursor.fetchall()
            for batch in refused:
                await _bury(connection, batch)
            reach(Failpoint.ROOT_BURY_WRITTEN)
        reach(Failpoint.ROOT_BURY_COMMITTED)
        return len(refused)

    async def restore(self, root_id: BatchId, *, delay: timedelta, only_refused: bool) -> None:
        """All that was not delivered goes back into one batch, a root of its own, to be tried after ``delay``.

        ``only_refused``: only the events that were refused alone, to be held together.
        """
        wanted = {"root_id": root_id, "only_refused": only_refused}
        async with self._database.connection() as connection:
            batches = await (await connection.execute(_SQL.lock_unsent, wanted)).fetchall()
            if not batches:
                return
            sources = [batch["batch_id"] for batch in batches]
            cursor = await connection.execute(_SQL.events_of_batches, {"batch_ids": sources})
            events = members(await cursor.fetchall())
            attempts = max(batch["attempts"] for batch in batches)
            sealer = Sealer(connection, self._ids, dialect=Dialect(batches[0]["dialect"]))
            origin = Origin(attempts=attempts, delay=delay, tried=True, held=only_refused)
            await sealer.reseal([events], batches[0]["stream"], origin, sources=sources)
            await connection.execute(SQL.close_split, {"batch_ids": sources, "detail": None})
            reach(Failpoint.ROOT_RESTORE_WRITTEN)
        reach(Failpoint.ROOT_RESTORE_COMMITTED)


async def _bury(connection: AsyncConnection[DictRow], batch: DictRow) -> None:
    batch_id = {"batch_id": batch["batch_id"]}
    cursor = await connection.execute(_SQL.bury_refused, batch_id | {"code": DeadReason.REFUSED})
    counts = {"synced": 0, "dead": cursor.rowcount, "again": 0}
    await connection.execute(SQL.close_settled, batch_id | counts)
