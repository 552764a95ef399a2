"""Keeping the database in order: months ahead of time, fresh views, and room: what was kept long enough goes.

Owns when which line is drawn; the statements are the adapters'. Each public method is a job's verb: it may be killed at
any point, and returns how long to wait until the next try where it could not do its work.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.months import month_of
from tapi_agent.domain.retention import crowded_horizon

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from tapi_agent.domain.ids import StreamId
    from tapi_agent.domain.retention import RetentionTerms
    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.ports.maintenance import Retention, Upkeep
    from tapi_agent.ports.spool import Spool

log = structlog.get_logger(__name__)

_SOON: Final = timedelta(minutes=1)
_MILLISECOND: Final = timedelta(milliseconds=1)
"""The resolution of the time in an id."""
_INTO_THE_SECOND_NEXT_MONTH: Final = timedelta(days=62)
"""From the start of any month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raised:
    """The spool's floor was raised when ``through`` was the last seq of ``stream``."""

    floor: datetime
    stream: StreamId | None
    through: int


class Maintenance:
    """Keeps one database in order, together with the other agents that use it."""

    def __init__(
        self,
        *,
        upkeep: Upkeep,
        retention: Retention,
        spool: Spool,
        clock: TrustedClock,
        terms: RetentionTerms,
        is_crowded: Callable[[], bool],
    ) -> None:
        self._upkeep = upkeep
        self._retention = retention
        self._spool = spool
        self._clock = clock
        self._terms = terms
        self._is_crowded = is_crowded
        self._raised: _Raised | None = None

    async def make_months(self) -> timedelta | None:
        """The present month and the next two, of every partitioned table."""
        first = month_of(self._clock.now())
        return await _unless_down(self._upkeep.make_months(first, first + _INTO_THE_SECOND_NEXT_MONTH))

    async def refresh_views(self) -> timedelta | None:
        """What people read, as of now; another agent that is at it does it for all."""
        return await _unless_down(self._upkeep.refresh_views())

    async def retain_usage(self) -> timedelta | None:
        """Delete delivered usage that is old enough, or early where it takes too much space."""
        return await _unless_down(self._retain_usage())

    async def shed_usage(self) -> timedelta | None:
        """The same at once, while the disk is crowded."""
        return await self.retain_usage() if self._is_crowded() else None

    async def retain_history(self) -> timedelta | None:
        """Delete old telemetry and old license edges."""
        return await _unless_down(self._retain_history())

    async def _retain_usage(self) -> timedelta | None:
        horizon = await self._usage_horizon()
        if self._raised is None:
            newest = await self._retention.newest_finished(horizon)
            self._raised = await self._raise_floor(newest + _MILLISECOND) if newest else None
        events = 0
        if self._raised:
            if not self._drained(self._raised):
                return _SOON
            events = await self._retention.forget_usage(self._raised.floor)
            self._raised = None
        _tell("usage", rows=events, months=await self._upkeep.retire_usage(horizon))
        return None

    async def _raise_floor(self, floor: datetime) -> _Raised:
        """Deleting an event forgets that it was counted: before that, nobody may be able to record it once more.

        So the spool refuses its time, durably, and whatever it had accepted is drained first. No further than needed:
        a clock that was wrong by years must not shut out what is recorded when it has been set right.
        """
        through = await self._spool.raise_floor(floor)
        return _Raised(floor=floor, stream=self._spool.stream, through=through)

    def _drained(self, raised: _Raised) -> bool:
        """In another file than then, seqs mean other events: the floor is raised anew."""
        if self._spool.stream != raised.stream:
            self._raised = None
            return False
        return self._spool.drained_seq >= raised.through

    async def _usage_horizon(self) -> datetime:
        now = self._clock.now()
        horizon = now - self._terms.usage
        if not self._is_crowded() and await self._retention.usage_bytes() <= self._terms.usage_bytes:
            return horizon
        oldest = await self._retention.oldest_finished()
        return max(horizon, crowded_horizon(oldest, now)) if oldest else horizon

    async def _retain_history(self) -> None:
        now = self._clock.now()
        _tell("license edges", rows=await self._retention.forget_edges(now - self._terms.edges))
        if self._terms.telemetry is not None:
            months = await self._upkeep.retire_telemetry(now - self._terms.telemetry)
            rows = await self._retention.forget_telemetry(now - self._terms.telemetry)
            _tell("telemetry", rows=rows, months=months)


def _tell(what: str, *, rows: int, months: Sequence[str] = ()) -> None:
    if rows or months:
        log.info("retention.forgot", what=what, rows=rows, months=list(months))


async def _unless_down(work: Awaitable[object]) -> timedelta | None:
    """Soon again when PostgreSQL gives no answer: connectivity tells of that."""
    try:
        wish = await work
    except UnavailableError:
        return _SOON
    return wish if isinstance(wish, timedelta) else None
