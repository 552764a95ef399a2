"""Room on the disk: what it allows is looked at every second; recording asks before each append (ADR 0084).

Budgets are absolute, because the disks of recorders are full by design. Nothing is dropped silently: what is refused is
an error for its caller and counted. What has been acknowledged goes on to be drained, with the ballast if need be.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import telemetry
from tapi_agent.domain.errors import NoSpaceError
from tapi_agent.domain.space import Room, room, usable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tapi_agent.domain.errors import UnavailableError
    from tapi_agent.domain.space import SpaceTerms
    from tapi_agent.domain.usage import UsageEvent
    from tapi_agent.ports.space import Disk
    from tapi_agent.services.losses import Losses

log = structlog.get_logger(__name__)

_MOMENT: Final = timedelta(milliseconds=100)
"""How long a call waits while room is scarce: sixty-four callers come down to 640 events a second."""
_AGAIN: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceReport:
    """How the disk of the state directory stands: ``free`` in bytes, ``None`` when not known."""

    room: Room
    free: int | None
    holds_ballast: bool


class Space:
    """``ports.space.Admission``; ``on_relief`` is called when there is room again."""

    def __init__(self, *, disk: Disk, terms: SpaceTerms, losses: Losses, on_relief: Callable[[], None]) -> None:
        self._disk = disk
        self._terms = terms
        self._losses = losses
        self._on_relief = on_relief
        self._relieved = asyncio.Event()
        self._free: int | None = None
        self.room = Room.PLENTY

    @property
    def is_open(self) -> bool:
        """Whether there is room for more, so that nobody need wait."""
        return self.room > Room.SLOW

    @property
    def is_crowded(self) -> bool:
        """Whether delivered events should go early."""
        return self.room < Room.PLENTY

    async def admit(self, events: Sequence[UsageEvent]) -> None:
        """Return at once, after a moment, or with ``NoSpaceError``, as room is."""
        if self.room is Room.SLOW:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._relieved.wait(), _MOMENT.total_seconds())
        if self.room is Room.FULL:
            self._losses.refused(events)
            raise NoSpaceError(
                f"{len(events)} events were refused: the disk of the state directory is full ({self._free} bytes free)",
                retry_after=_AGAIN,
            )

    def refused(self, events: Sequence[UsageEvent], error: UnavailableError) -> None:
        """The spool did not take them: count them, and give up the reserve if the disk was the reason."""
        self._losses.refused(events)
        if isinstance(error, NoSpaceError):
            self.relieve()

    def relieve(self) -> None:
        """The disk is full, whatever it had said before: give up the reserve, so that draining can go on."""
        with suppress(OSError):
            self._disk.drop_ballast()
        self._become(Room.FULL)

    async def look(self) -> None:
        """See how much is free, and act on it; refusals are written down."""
        await self._losses.write_down()
        try:
            self._free = await asyncio.to_thread(self._disk.free)
            counted = usable(self._free, self._terms, holds_ballast=self._disk.holds_ballast)
            self._become(room(counted, self._terms, before=self.room))
            await asyncio.to_thread(self._trim, self._free)
        except OSError as error:
            log.warning("space.unknown", error=str(error))

    def report(self) -> SpaceReport:
        """How it stood at the last look."""
        return SpaceReport(room=self.room, free=self._free, holds_ballast=self._disk.holds_ballast)

    def _trim(self, free: int) -> None:
        """Hold the reserve while events are taken; give it up when there is next to nothing else to drain with."""
        if self.room > Room.FULL and not self._disk.holds_ballast:
            self._disk.hold_ballast()
        if self.room is Room.FULL and free < self._terms.ballast:
            self._disk.drop_ballast()

    def _become(self, now: Room) -> None:
        telemetry.SPACE_ROOM.set(now)
        before, self.room = self.room, now
        if now is before:
            return
        say = log.error if now is Room.FULL else log.warning if now < before else log.info
        say("space.changed", room=now.name.lower(), before=before.name.lower(), free=self._free)
        if self.is_open:
            self._relieved.set()
        else:
            self._relieved.clear()
        if now > before:
            self._on_relief()
