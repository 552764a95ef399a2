"""The ledger of usage events: what is drained from the spool, what it adds up to, what still has to be billed.

Batches are ``usage_batches``'s. New events are copied in (``usage_copy``); where some are there already, PostgreSQL
reads the canonical texts itself (``insert_events``), and says which.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.errors import DatabaseRejected
from tapi_agent.adapters.postgres.partitions import make_months
from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.adapters.postgres.usage_copy import ForeignTextError, copy_events
from tapi_agent.adapters.postgres.usage_totals import document, is_storable
from tapi_agent.domain.canonical import event_id_of
from tapi_agent.domain.errors import SetBackError, UnavailableError
from tapi_agent.domain.ids import time_of
from tapi_agent.domain.tally import tally
from tapi_agent.domain.usage import DeadReason, UsageTotal
from tapi_agent.failpoints import Failpoint, reach
from tapi_agent.ports.usage import Comparison, Kept, Pending, Totals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import DeviceId, StreamId, TenantId
    from tapi_agent.domain.usage import SpooledEvent
    from tapi_agent.ports.spool import SpoolAccount

_SQL: Final = load_queries("usage")

_BAD_DATA: Final = frozenset({"22P02", "22P05", "22003", "22021", "23502", "23514"})
"""What one row can bring upon a whole statement; anything else is no row's fault."""


class PostgresLedger:
    """``ports.usage.Ledger`` for the agent of one device."""

    def __init__(self, *, database: Database, device_id: DeviceId) -> None:
        self._database = database
        self._device_id = device_id

    async def keep(self, events: Sequence[SpooledEvent], *, after: int = 0) -> Kept:
        """Insert events of one stream, in order; a row that PostgreSQL refuses becomes a dead letter by itself."""
        with suppress(ForeignTextError, DatabaseRejected):
            return await self._within_months(events, after, all_new=True)
        try:
            return await self._within_months(events, after, all_new=False)
        except DatabaseRejected as error:
            return await self._isolate(events, error, after)

    async def compare(self, account: SpoolAccount) -> Comparison:
        """What the database lacks of a stream; it is noted as lost, and what is here as suspect, in one transaction."""
        place = {"stream": account.stream, "seq": account.drained_seq, "device_id": self._device_id}
        async with self._database.connection() as connection:
            drained_seq = await _take_turn(connection, account.stream)
            if drained_seq > account.last_seq:
                return Comparison(spool_is_older=True)
            await connection.execute(_SQL.know_stream, place)
            await _suspect_copies(connection, account)
            if drained_seq >= account.drained_seq:
                return Comparison()
            if not account.drained:  # a new stream of a spool that is older: nothing of it has been here
                await connection.execute(_SQL.advance_stream, place)
                return Comparison()
            await connection.execute(_SQL.lock_streams)
            cursor = await connection.execute(_SQL.lose, place | {"drained": document(account.drained)})
            lost = [_total(row) for row in await cursor.fetchall()]
            await connection.execute(_SQL.suspect, place)
            await connection.execute(_SQL.doubt_suspects, {"stream": None, "copied": False})
            reach(Failpoint.LEDGER_LOSS_WRITTEN)
        reach(Failpoint.LEDGER_LOSS_COMMITTED)
        return Comparison(lost=lost)

    async def totals(
        self, stream: StreamId | None, *, tenant_id: TenantId | None, since: date | None, until: date | None
    ) -> Totals:
        """What was counted, and up to which seq ``stream`` is in it."""
        asked = {"stream": stream, "tenant_id": tenant_id, "since": since, "until": until}
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.totals, asked)
            rows = await cursor.fetchall()
        return Totals(
            drained_seq=rows[0]["drained_seq"], totals=[_total(row) for row in rows if row["tenant_id"] is not None]
        )

    async def pending(self) -> Pending:
        """How much of this device's usage is on which stretch of its way."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.backlog, {"device_id": self._device_id})
            return Pending(**(await cursor.fetchone() or {}))

    async def _within_months(self, events: Sequence[SpooledEvent], after: int, *, all_new: bool) -> Kept:
        """Where a month is missing it is made first."""
        try:
            return await self._store(events, after, all_new=all_new)
        except DatabaseRejected as error:
            if not error.lacks_month:
                raise
        await make_months(self._database, "usage_events", (time_of(event_id_of(event.canonical)) for event in events))
        return await self._store(events, after, all_new=all_new)

    async def _store(self, events: Sequence[SpooledEvent], after: int, *, all_new: bool) -> Kept:
        """``all_new``: fail rather than find out which of the events is there already."""
        async with self._database.connection() as connection:
            drained = await _take_turn(connection, events[0].stream, after=after)
            if all_new and drained < events[0].seq:
                totals = await copy_events(connection, events)
                kept = Kept(new=len(events), totals=totals)
            else:
                kept = await _insert(connection, events, drained)
            await self._advance(connection, events[-1])
            reach(Failpoint.LEDGER_KEEP_WRITTEN)
        reach(Failpoint.LEDGER_KEEP_COMMITTED)
        return kept

    async def _isolate(self, events: Sequence[SpooledEvent], error: DatabaseRejected, after: int) -> Kept:
        """Halve until the bad row stands alone. What is no row's fault is raised again, and all stays spooled."""
        if error.sqlstate not in _BAD_DATA or error.lacks_month:
            raise error
        if len(events) == 1:
            return await self._bury(events[0], error, after)
        middle = len(events) // 2
        return await self.keep(events[:middle], after=after) + await self.keep(events[middle:], after=after)

    async def _bury(self, event: SpooledEvent, error: DatabaseRejected, after: int) -> Kept:
        letter = {"code": DeadReason.UNSTORABLE, "detail": str(error), "event": event.canonical.encode()}
        place = {"event_id": event_id_of(event.canonical), "stream": event.stream, "seq": event.seq}
        async with self._database.connection() as connection:
            drained = await _take_turn(connection, event.stream, after=after)
            cursor = await connection.execute(_SQL.bury, letter | place)
            for total in _readable(event) if event.seq > drained else ():
                await connection.execute(_SQL.bury_arrives, asdict(total) | place)
            await self._advance(connection, event)
            reach(Failpoint.LEDGER_BURY_WRITTEN)
        reach(Failpoint.LEDGER_BURY_COMMITTED)
        return Kept(dead=cursor.rowcount)

    async def _advance(self, connection: AsyncConnection[DictRow], last: SpooledEvent) -> None:
        place = {"stream": last.stream, "seq": last.seq, "device_id": self._device_id}
        await connection.execute(_SQL.advance_stream, place)


async def _take_turn(connection: AsyncConnection[DictRow], stream: StreamId, *, after: int = 0) -> int:
    """Up to which seq all has arrived, as it stays until the transaction ends. ``SetBackError`` if below ``after``."""
    await connection.execute(_SQL.take_turn, {"stream": stream})
    row = (await (await connection.execute(_SQL.drained_seq, {"stream": stream})).fetchall())[0]
    drained: int = row["drained_seq"]
    if drained < after:
        raise SetBackError("the database was set back: it lacks events that it had before")
    return drained


async def _insert(connection: AsyncConnection[DictRow], events: Sequence[SpooledEvent], drained: int) -> Kept:
    cursor = await connection.execute(_SQL.insert_events, _rows(events) | {"drained": drained})
    kept = set((await cursor.fetchall())[0]["seqs"])
    repeats = [event for event in events if event.seq not in kept]
    return Kept(new=len(kept)) + (await _note_repeats(connection, repeats) if repeats else Kept())


async def _suspect_copies(connection: AsyncConnection[DictRow], account: SpoolAccount) -> None:
    """The box that a spool was copied from may have sent, or send, what is in both; and what it had handed over."""
    if account.suspect_seq:
        place = {"stream": account.stream, "former": account.copied_from, "seq": account.suspect_seq}
        copied = await connection.execute(_SQL.suspect_copies, place)
        if copied.rowcount:
            await connection.execute(_SQL.doubt_suspects, {"stream": account.copied_from, "copied": True})


async def _note_repeats(connection: AsyncConnection[DictRow], events: Sequence[SpooledEvent]) -> Kept:
    verdict = {"code": DeadReason.IDEMPOTENCY_CONFLICT, "detail": "another body was recorded under this id before"}
    cursor = await connection.execute(_SQL.note_repeats, _rows(events) | verdict)
    row = (await cursor.fetchall())[0]
    if row["found"] != len(events):
        raise UnavailableError("rows that were in the way of an insert are gone: it must be repeated")
    return Kept(duplicates=row["duplicates"], conflicts=row["conflicts"])


def _rows(events: Sequence[SpooledEvent]) -> dict[str, object]:
    return {
        "stream": events[0].stream,
        "seqs": [event.seq for event in events],
        "events": f"[{','.join(event.canonical for event in events)}]",
    }


def _readable(event: SpooledEvent) -> Sequence[UsageTotal]:
    """What a refused text says it adds up to; nothing when it is not even ours."""
    try:
        return [total for total in tally([event.canonical]) if is_storable(total)]
    except (ValueError, TypeError, ArithmeticError, LookupError):
        return ()


def _total(row: DictRow) -> UsageTotal:
    return UsageTotal(**{name: value for name, value in row.items() if name != "drained_seq"})
