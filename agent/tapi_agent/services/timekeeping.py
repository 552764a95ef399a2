"""Trusted time for the whole agent: reads the machine's clocks, carries the mark on, keeps it across restarts.

Owns the mark; the arithmetic is ``domain.trusted_time``, what is in a store ``services.marks``. Everyone asks
``now()``; jobs call ``persist()`` at least once a minute and ``consult()`` every few seconds; whoever hears the
authority's time passes it to ``authority_said``. The local store decides at start, alone: the others are read whenever
they answer, and merged (ADR 0067).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.evidence import normalized
from tapi_agent.domain.trusted_time import (
    BUILT,
    TOLERANCE,
    UNCONFIRMED_BUDGET,
    ClockFlag,
    Mark,
    Reading,
    advance,
    flags,
    hear_issue,
    merge,
    settle,
)
from tapi_agent.services.marks import KeptMark, MarkReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tapi_agent.ports.clock import Clock, MarkStore

log = structlog.get_logger(__name__)

_GLANCE: Final = timedelta(milliseconds=50)
"""Within this long of a look at the wall clock, time is only counted on: every usage event asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReport:
    """What status says of the clocks; ``confirmed``: a time server or the authority has spoken in this boot.

    ``fixes`` says what to do about the flags, ``marks`` which stores would bring the mark through a restart.
    """

    trusted_now: datetime
    wall: datetime
    boot_id: str
    confirmed: bool
    flags: frozenset[ClockFlag]
    fixes: Sequence[str] = ()
    marks: Sequence[MarkReport] = ()


class Timekeeper:
    """Implements ``ports.clock.AuthorityClock`` and ``ports.clock.EventClock``."""

    def __init__(
        self, *, clock: Clock, store: MarkStore, others: Sequence[MarkStore] = (), built: datetime = BUILT
    ) -> None:
        self._clock = clock
        self._local = KeptMark(store)
        self._others = [KeptMark(other) for other in others]
        self._built = built
        self._mark = Mark(at=built)
        self._looked_at = -_GLANCE
        self._found = False
        self._told: frozenset[ClockFlag] = frozenset()

    async def start(self) -> None:
        """Take up the local mark of the last run; a lost or damaged one means starting from the build date."""
        stored = await self._local.load()
        if stored is not None:
            self._found = True
            self._mark = self._plausible(stored)
            self._looked_at = -_GLANCE

    async def consult(self) -> None:
        """Read the other stores that were not read since they were last away; a job calls it every few seconds."""
        await asyncio.gather(*(self._take_up(kept) for kept in self._others if not kept.was_read))

    def now(self) -> datetime:
        """Trusted UTC time; never earlier than anything it has said before, unless the authority set it back."""
        passed = self._clock.boottime() - self._looked_at
        if timedelta(0) <= passed < _GLANCE:
            return self._mark.at + passed
        self._look()
        return self._mark.at

    def latest(self) -> datetime:
        """The latest instant that it may be: a wall clock ahead of it that nobody has confirmed may still be right."""
        confirmed = self._mark.confirmed_in == self._clock.boot_id()
        return self.now() if confirmed else max(self.now(), self._clock.wall())

    def authority_said(self, server_time: datetime) -> None:
        """A live reply carried the authority's time. The build date is the earliest that is believed of anyone."""
        said = normalized(server_time)
        if said is not None:
            self._move(settle(self._mark, self._read(), max(said, self._built)), "clock.set_by_authority")

    def issued(self, at: datetime, *, reset: bool) -> None:
        """A lease accepted now says when it was made: that raises trusted time; ``reset`` lets it lower it."""
        said = normalized(at)
        if said is not None:
            said = max(said, self._built)
            self._move(hear_issue(self._mark, self._read(), said, reset=reset), "clock.set_by_lease")

    def witness(self, at: datetime) -> None:
        """Verified evidence of our own says that it was ``at``: without a mark the best there is.

        A mark of the last run is at most a minute older than the evidence; what is far beyond it was stamped by a
        wrong clock.
        """
        self._look()
        ahead = at - self._mark.at
        if ahead.total_seconds() > 0 and (not self._found or ahead <= UNCONFIRMED_BUDGET):
            self._mark = replace(self._mark, at=at)

    def describe(self) -> ClockReport:
        """The clocks, for status."""
        reading = self._look()
        raised = flags(self._mark, reading)
        return ClockReport(
            trusted_now=self._mark.at,
            wall=reading.wall,
            boot_id=reading.boot_id,
            confirmed=self._mark.confirmed_in == reading.boot_id,
            flags=raised,
            fixes=[flag.fix for flag in sorted(raised)],
            marks=[kept.describe() for kept in self._kept()],
        )

    async def persist(self) -> None:
        """Keep the mark wherever it is known what would be written over; none of the stores waits for another."""
        self._tell(self.describe().flags)
        known = [self._local, *(kept for kept in self._others if kept.was_read)]
        await asyncio.gather(*(kept.save(self._mark) for kept in known))

    async def _take_up(self, kept: KeptMark) -> None:
        """Merge what a store holds, and let it hold what comes of that."""
        stored = await kept.load()
        if stored is not None:
            self._found = True
            self._move(merge(self._mark, self._plausible(stored), self._read()), "clock.mark_merged")
        if kept.was_read:
            await kept.save(self._mark)

    def _plausible(self, stored: Mark) -> Mark:
        return replace(stored, at=max(stored.at, self._built))

    def _kept(self) -> Sequence[KeptMark]:
        return [self._local, *self._others]

    def _look(self) -> Reading:
        """Look at all of the machine's clocks and carry the mark on to this instant."""
        reading = self._read()
        self._mark = advance(self._mark, reading)
        self._looked_at = reading.boottime
        return reading

    def _move(self, mark: Mark, event: str) -> None:
        """Go on from another mark; a real move, unlike the latency of an answer, is told."""
        self._look()
        moved, self._mark = mark.at - self._mark.at, mark
        self._looked_at = mark.boottime
        if abs(moved) > TOLERANCE:
            log.warning(event, seconds=moved.total_seconds())

    def _read(self) -> Reading:
        clock = self._clock
        return Reading(
            wall=clock.wall(),
            boottime=clock.boottime(),
            boot_id=clock.boot_id(),
            synchronized=clock.synchronized(),
        )

    def _tell(self, raised: frozenset[ClockFlag]) -> None:
        for flag in raised - self._told:
            log.warning(flag)
        for flag in self._told - raised:
            log.info(flag, over=True)
        self._told = raised
