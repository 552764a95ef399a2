"""Moves events from the spool into the database, a thousand at a time, in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.ports.usage import Ledger, Spool

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 1000


class Drainer:
    """One at a time: events leave the spool when the database has them, and not before."""

    def __init__(self, *, spool: Spool, ledger: Ledger) -> None:
        self._spool = spool
        self._ledger = ledger
        self._lock = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []

    def on_drained(self, listener: Callable[[], None]) -> None:
        """Tell ``listener`` whenever the database has more events. It may neither wait nor raise."""
        self._listeners.append(listener)

    async def drain(self) -> int:
        """Until the spool is empty; returns how many events left it. Raises ``UnavailableError`` of either store."""
        drained = 0
        async with self._lock:
            while events := await self._spool.head(_AT_ONCE):
                kept = await self._ledger.keep(events)
                await self._spool.discard(events[-1].seq, stream=events[-1].stream)
                drained += len(events)
                for listener in self._listeners:
                    listener()
                if lost := kept.conflicts + kept.dead:
                    telemetry.USAGE_DEAD_LETTERS.inc(lost)
                    log.error("usage.dead_letters", conflicts=kept.conflicts, unstorable=kept.dead)
        return drained
