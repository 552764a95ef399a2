"""Trusted time for the whole agent: reads the machine's clocks, carries the mark on, keeps it across restarts.

Owns the mark; the arithmetic is ``domain.trusted_time``. Everyone asks ``now()``; a job calls ``persist()`` at least
once a minute; whoever hears the authority's time passes it to ``authority_said``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import IntegrityError, UnavailableError
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
    settle,
)

if TYPE_CHECKING:
    from datetime import datetime

    from tapi_agent.ports.clock import Clock, MarkStore

log = structlog.get_logger(__name__)

_GLANCE: Final = timedelta(milliseconds=50)
"""Within this long of a look at the wall clock, time is only counted on: every usage event asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReport:
    """What status says of the clocks; ``confirmed``: a time server or the authority has spoken in this boot."""

    trusted_now: datetime
    wall: datetime
    boot_id: str
    confirmed: bool
    flags: frozenset[ClockFlag]


class Timekeeper:
    """Implements ``ports.clock.AuthorityClock`` and ``ports.clock.EventClock``."""

    def __init__(self, *, clock: Clock, store: MarkStore, built: datetime = BUILT) -> None:
        self._clock = clock
        self._store = store
        self._built = built
        self._mark = Mark(at=built)
        self._looked_at = -_GLANCE
        self._found = False
        self._saved = True
        self._told: frozenset[ClockFlag] = frozenset()

    async def start(self) -> None:
        """Take up the mark of the last run; a lost or damaged one means starting from the build date."""
        try:
            stored = await self._store.load()
        except (IntegrityError, UnavailableError) as error:
            log.error("clock.mark_lost", error=str(error), fix=error.fix)  # noqa: TRY400 - the agent goes on without it
            return
        if stored is not None:
            self._found = True
            self._mark = replace(stored, at=max(stored.at, self._built))
            self._looked_at = -_GLANCE

    def now(self) -> datetime:
        """Trusted UTC time; never earlier than anything it has said before, unless the authority set it back."""
        passed = self._clock.boottime() - self._looked_at
        return self._mark.at + passed if timedelta(0) <= passed < _GLANCE else self._look().trusted_now

    def latest(self) -> datetime:
        """The latest instant that it may be: a wall clock ahead of it that nobody has confirmed may still be right."""
        confirmed = self._mark.confirmed_in == self._clock.boot_id()
        return self.now() if confirmed else max(self.now(), self._clock.wall())

    def authority_said(self, server_time: datetime) -> None:
        """A live reply carried the authority's time. The build date is the earliest that is believed of anyone."""
        before, said = self._look().trusted_now, normalized(server_time)
        if said is None:
            return
        self._mark = settle(self._mark, self._read(), max(said, self._built))
        self._looked_at = self._mark.boottime
        if abs(self._mark.at - before) > TOLERANCE:
            log.warning("clock.set_by_authority", seconds=(self._mark.at - before).total_seconds())

    def witness(self, at: datetime) -> None:
        """Verified evidence of our own says that it was ``at``: without a mark the best there is.

        A mark of the last run is at most a minute older than the evidence; what is far beyond it was stamped by a
        wrong clock.
        """
        ahead = at - self._look().trusted_now
        if ahead.total_seconds() > 0 and (not self._found or ahead <= UNCONFIRMED_BUDGET):
            self._mark = replace(self._mark, at=at)

    def describe(self) -> ClockReport:
        """The clocks, for status."""
        return self._look()

    async def persist(self) -> None:
        """Keep the mark; when that fails the agent goes on, and a restart would count from the older mark."""
        self._tell(self.describe().flags)
        try:
            await self._store.save(self._mark)
        except UnavailableError as error:
            if self._saved:
                log.warning("clock.mark_not_saved", error=str(error), fix=error.fix)
            self._saved = False
        else:
            self._saved = True

    def _look(self) -> ClockReport:
        """Look at all of the machine's clocks and carry the mark on to this instant."""
        reading = self._read()
        self._mark = advance(self._mark, reading)
        self._looked_at = reading.boottime
        return ClockReport(
            trusted_now=self._mark.at,
            wall=reading.wall,
            boot_id=reading.boot_id,
            confirmed=self._mark.confirmed_in == reading.boot_id,
            flags=flags(self._mark, reading),
        )

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
