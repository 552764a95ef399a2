"""Batches on their way: sealed from what is pending, leased to be sent, put back or settled by what the service said.

No transaction here spans the network. Refused events are ``usage_roots``'s, ambiguous batches ``usage_doubts``'s.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from tapi_agent.adapters.postgres.usage_sealing import NO_DELAY, SQL, Origin, Sealer, chain, members, seqs
from tapi_agent.domain.batch import Dialect, LeasedBatch
from tapi_agent.failpoints import Failpoint, reach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.adapters.postgres.usage_sealing import BatchIds
    from tapi_agent.domain.batch import Member
    from tapi_agent.domain.ids import BatchId, DeviceId, EventId
    from tapi_agent.domain.settlement import Death, Settled


_MOST_WAITING: Final = 8


class PostgresBatches:
    """``ports.usage.Batches`` for the agent of one device, which leases in the device's name."""

    def __init__(self, *, database: Database, device_id: DeviceId, ids: BatchIds) -> None:
        self._database = database
        self._device_id = device_id
        self._sealing = {"device_id": device_id, "most_waiting": _MOST_WAITING}
        self._ids = ids

    async def due(self, *, limit: int, before: datetime) -> bool:
        """Whether there is something to do: ``limit`` pending events, one recorded ``before``, a batch that is due."""
        asked = {"device_id": self._device_id, "limit": limit, "before": before}
        async with self._database.connection() as connection:
            row = (await (await connection.execute(SQL.due, asked)).fetchall())[0]
        return bool(row["due"])

    async def seal(self, *, limit: int, max_bytes: int, dialect: Dialect, dedupes: bool) -> bool:
        """Seal the oldest pending events of one of the device's streams into a batch; false when there are none.

        Those that may have been sent before are sealed apart: ambiguous from the start, unless the service ``dedupes``.
        """
        async with self._database.connection() as connection:
            found = await (await connection.execute(SQL.stream_to_seal, self._sealing)).fetchone()
            if found is None:
                return False
            wanted = {"stream": found["stream"], "limit": limit}
            rows = await (await connection.execute(SQL.pending_events, wanted)).fetchall()
            if not rows:
                return False
            suspects = [] if dedupes and dialect is Dialect.EXTENDED else _up_to(found["suspect_seq"], rows)
            sealer = Sealer(connection, self._ids, dialect=dialect)
            batch = await sealer.seal_some(members(suspects or rows), chain(found), Origin(), max_bytes=max_bytes)
            taken = {"batch_id": batch.batch_id, "stream": found["stream"], "seqs": seqs(batch)}
            await connection.execute(SQL.take_pending, taken)
            if suspects:
                await connection.execute(SQL.doubt_new, taken | {"copied": found["copied"]})
            reach(Failpoint.BATCH_SEAL_WRITTEN)
        reach(Failpoint.BATCH_SEAL_COMMITTED)
        return True

    async def now(self) -> datetime:
        """The database's clock, by which batches wait and leases end."""
        async with self._database.connection() as connection:
            row = (await (await connection.execute(SQL.clock)).fetchall())[0]
        at: datetime = row["now"]
        return at

    async def lease(self, *, began: datetime, duration: timedelta) -> LeasedBatch | None:
        """The next batch that is due and was not tried since ``began``, ours until ``duration`` has passed."""
        terms = {"owner": self._device_id, "began": began, "lease": duration}
        async with self._database.connection() as connection:
            cursor = await connection.execute(SQL.lease, terms)
            row = await cursor.fetchone()
            reach(Failpoint.BATCH_LEASE_WRITTEN)
        reach(Failpoint.BATCH_LEASE_COMMITTED)
        return None if row is None else _leased(row)

    async def hasten(self) -> None:
        """Whatever waits after a failure is due now."""
        async with self._database.connection() as connection:
            await connection.execute(SQL.hasten)

    async def reclaim(self, *, dedupes: bool, quiet: timedelta) -> int:
        """Take back what ended senders left, this agent's earlier runs included: to be sent again, or ambiguous."""
        terms = {"owner": self._device_id, "dedupes": dedupes, "quiet": quiet}
        async with self._database.connection() as connection:
            reclaimed = (await connection.execute(SQL.reclaim, terms)).rowcount
            reach(Failpoint.BATCH_RECLAIM_WRITTEN)
        reach(Failpoint.BATCH_RECLAIM_COMMITTED)
        return reclaimed

    async def retry(self, batch: LeasedBatch, *, detail: str, delay: timedelta, nothing_stored: bool = False) -> None:
        """The same bytes again, after ``delay``."""
        await self._put_back(batch, state="sealed", detail=detail, delay=delay, nothing_stored=nothing_stored)

    async def refuse(self, batch: LeasedBatch, *, detail: str) -> None:
        """Its one event was refused alone: it waits for the verdict on its root."""
        await self._put_back(batch, state="sealed", detail=detail, refused=True)

    async def doubt(self, batch: LeasedBatch, *, detail: str, delay: timedelta, partial: bool) -> None:
        """Ambiguous; ask after ``delay`` what became of it."""
        await self._put_back(batch, state="ambiguous", detail=detail, delay=delay, partial=partial)

    async def replace(self, batch: LeasedBatch, *, parts: int, dialect: Dialect, detail: str) -> None:
        """New batches of the same events in the place of this one: ``parts`` of about equal size."""
        lease = {"batch_id": batch.batch_id, "fence": batch.fence}
        async with self._database.connection() as connection:
            locked = await (await connection.execute(SQL.lock_leased, lease)).fetchone()
            if locked is None:
                return
            left = await _events(connection, batch.batch_id)
            size = -(-len(left) // parts)
            groups = [left[start : start + size] for start in range(0, len(left), size)]
            origin = _child_of(batch.batch_id, locked)
            sealer = Sealer(connection, self._ids, dialect=dialect)
            await sealer.reseal(groups, locked["stream"], origin, sources=[batch.batch_id])
            await connection.execute(SQL.close_split, {"batch_ids": [batch.batch_id], "detail": detail})
            reach(Failpoint.BATCH_REPLACE_WRITTEN)
        reach(Failpoint.BATCH_REPLACE_COMMITTED)

    async def settle(self, batch_id: BatchId, settled: Settled, *, delay: timedelta) -> bool:
        """Write down what the service said; what goes out again does so in a new batch after ``delay``.

        False when the batch was settled or split before: the first word counts.
        """
        async with self._database.connection() as connection:
            locked = await (await connection.execute(SQL.lock_delivered, {"batch_id": batch_id})).fetchone()
            if locked is None:
                return False
            synced = {"batch_id": batch_id, "event_ids": list(settled.synced)}
            counts: dict[str, int] = (await (await connection.execute(SQL.sync_events, synced)).fetchall())[0]
            buried = {"batch_id": batch_id, "deaths": _deaths(settled.dead)}
            counts["dead"] = (await connection.execute(SQL.bury_events, buried)).rowcount if settled.dead else 0
            counts["again"] = await self._send_again(connection, batch_id, locked, delay)
            await connection.execute(SQL.close_settled, {"batch_id": batch_id, **counts})
            reach(Failpoint.BATCH_SETTLE_WRITTEN)
        reach(Failpoint.BATCH_SETTLE_COMMITTED)
        return True

    async def _send_again(
        self, connection: AsyncConnection[DictRow], batch_id: BatchId, locked: DictRow, delay: timedelta
    ) -> int:
        """What the service has said nothing final about is left over, and goes into a new batch."""
        left = await _events(connection, batch_id)
        if left:
            sealer = Sealer(connection, self._ids, dialect=Dialect(locked["dialect"]))
            origin = replace(_child_of(batch_id, locked, delay), tried=True)
            await sealer.reseal([left], locked["stream"], origin, sources=[batch_id])
        return len(left)

    async def _put_back(self, batch: LeasedBatch, *, state: str, **terms: object) -> None:
        defaults = {"refused": False, "partial": False, "nothing_stored": False, "delay": NO_DELAY}
        lease = {"batch_id": batch.batch_id, "fence": batch.fence, "state": state}
        async with self._database.connection() as connection:
            await connection.execute(SQL.put_back, defaults | terms | lease)
            reach(Failpoint.BATCH_PUT_BACK_WRITTEN)
        reach(Failpoint.BATCH_PUT_BACK_COMMITTED)


def _up_to(seq: int, rows: Sequence[DictRow]) -> Sequence[DictRow]:
    return [row for row in rows if row["seq"] <= seq]


def _leased(row: DictRow) -> LeasedBatch:
    return LeasedBatch(**row | {"dialect": Dialect(row["dialect"]), "event_ids": tuple(row["event_ids"])})


def _child_of(batch_id: BatchId, locked: DictRow, delay: timedelta = NO_DELAY) -> Origin:
    return Origin(root_id=locked["root_id"], parent_id=batch_id, attempts=locked["attempts"], delay=delay)


async def _events(connection: AsyncConnection[DictRow], batch_id: BatchId) -> list[Member]:
    cursor = await connection.execute(SQL.events_of_batch, {"batch_id": batch_id})
    return members(await cursor.fetchall())


def _deaths(dead: Mapping[EventId, Death]) -> str:
    rows = [{"event_id": event_id, "code": death.code, "detail": death.detail} for event_id, death in dead.items()]
    return orjson.dumps(rows).decode()
