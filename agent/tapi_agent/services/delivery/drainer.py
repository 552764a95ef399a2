"""Moves events from the spool into the database, a thousand at a time, in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import telemetry
from tapi_agent.domain.errors import NoSpaceError, SetBackError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tapi_agent.domain.usage import SpooledEvent, UsageTotal
    from tapi_agent.ports.spool import Spool, SpoolAccount
    from tapi_agent.ports.usage import Ledger

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 1000


class Drainer:
    """One at a time: events leave the spool when the database has them, and not before.

    A database that comes back without what it had is noticed before anything new gets there, or goes out from there.
    """

    def __init__(self, *, spool: Spool, ledger: Ledger) -> None:
        self._spool = spool
        self._ledger = ledger
        self._lock = asyncio.Lock()
        self._compared = False
        self._listeners: list[Callable[[], None]] = []
        self._when_cramped: Callable[[], None] = lambda: None
        self._mourners: list[Callable[[Sequence[UsageTotal]], None]] = []

    def on_drained(self, listener: Callable[[], None]) -> None:
        """Tell ``listener`` whenever the database has more events. It may neither wait nor raise."""
        self._listeners.append(listener)

    def when_cramped(self, relieve: Callable[[], None]) -> None:
        """Have ``relieve`` make some room when what was drained cannot even be deleted for want of it."""
        self._when_cramped = relieve

    def on_lost(self, listener: Callable[[Sequence[UsageTotal]], None]) -> None:
        """Tell ``listener`` of what the database came back without. It may neither wait nor raise."""
        self._mourners.append(listener)

    async def compare(self) -> None:
        """Account for what the database lacks, if it was set back. Raises ``UnavailableError`` of the database.

        While the spool gives no answer nothing can be compared: what the database has may go out all the same.
        """
        async with self._lock:
            try:
                account = await self._spool.account()
            except UnavailableError:
                return
            await self._compare(account)

    async def drain(self) -> int:
        """Until the spool is empty; returns how many events left it. Raises ``UnavailableError`` of either store."""
        async with self._lock:
            leaving: list[asyncio.Future[None]] = []
            try:
                return await self._hand_over_all(leaving)
            finally:
                await _end(leaving)

    async def _hand_over_all(self, leaving: list[asyncio.Future[None]]) -> int:
        """While the database takes over some, the spool lets go of those before and reads those behind."""
        drained, last = 0, None
        events = await self._spool.head(_AT_ONCE)
        while events:
            if not self._compared:
                last = None
                await _end(leaving)
                await self._compare(await self._spool.account())
                events = await self._spool.head(_AT_ONCE)
                continue
            following = asyncio.ensure_future(self._spool.head(_AT_ONCE, after=events[-1].seq))
            try:
                totals = await self._hand_over(events, after=last)
            finally:
                upcoming = await following
            await _end(leaving)
            if self._compared:
                last = events[-1]
                leaving.append(asyncio.ensure_future(self._discard(last, totals)))
                drained += len(events)
                events = upcoming if _follows(upcoming, last) else await self._afresh(leaving)
        return drained

    async def _afresh(self, leaving: list[asyncio.Future[None]]) -> Sequence[SpooledEvent]:
        """From the front: there is nothing behind, or a damaged file was replaced, and seqs mean other events now."""
        await _end(leaving)
        return await self._spool.head(_AT_ONCE)

    async def _hand_over(self, events: Sequence[SpooledEvent], *, after: SpooledEvent | None) -> Sequence[UsageTotal]:
        """``after`` was handed over before them, and is perhaps not discarded yet; returns the totals, if known."""
        self._compared = False
        before = after.seq if after and after.stream == events[0].stream else self._spool.drained_seq
        try:
            kept = await self._ledger.keep(events, after=before)
        except SetBackError:
            return ()
        self._compared = True
        for listener in self._listeners:
            listener()
        if lost := kept.conflicts + kept.dead:
            telemetry.USAGE_DEAD_LETTERS.inc(lost)
            log.error("usage.dead_letters", conflicts=kept.conflicts, unstorable=kept.dead)
        return kept.totals

    async def _discard(self, last: SpooledEvent, totals: Sequence[UsageTotal]) -> None:
        try:
            await self._spool.discard(last.seq, stream=last.stream, totals=totals)
        except NoSpaceError:
            self._when_cramped()
            raise

    async def _compare(self, account: SpoolAccount) -> None:
        found = await self._ledger.compare(account)
        if found.spool_is_older:
            log.error("spool.is_older_than_the_database", stream=str(account.stream))
            await self._spool.renew(account.stream)
            return
        self._compared = True
        if found.lost:
            self._mourn(found.lost)

    def _mourn(self, lost: Sequence[UsageTotal]) -> None:
        events = sum(total.events + total.local_events for total in lost)
        log.error("usage.database_was_set_back", lost=events, fix="tapi-agent usage reconcile: what was billed of it")
        for listener in self._mourners:
            listener(lost)


async def _end(leaving: list[asyncio.Future[None]]) -> None:
    while leaving:
        await leaving.pop()


def _follows(events: Sequence[SpooledEvent], last: SpooledEvent) -> bool:
    return bool(events) and events[0].stream == last.stream
