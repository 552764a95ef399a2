"""Time, as the agent may ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from tapi_agent.domain.trusted_time import Mark


class Clock(Protocol):
    """The machine's raw clocks. Only the timekeeping service and the scheduler's watchdog look at ``wall``."""

    def wall(self) -> datetime:
        """The wall clock, UTC, right or wrong."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards and stop while suspended (CLOCK_MONOTONIC)."""
        ...

    def boottime(self) -> timedelta:
        """Time since boot, suspend included (CLOCK_BOOTTIME)."""
        ...

    def boot_id(self) -> str:
        """Identity of this boot; ``boottime`` is comparable only within one."""
        ...

    def synchronized(self) -> bool:
        """Whether a time server has set the wall clock in this boot."""
        ...


class TrustedClock(Protocol):
    """The time that decides about licenses and stamps usage (2-licensing, Trusted time)."""

    def now(self) -> datetime:
        """Trusted UTC time; never earlier than anything it has said before, unless the authority set it back."""
        ...


class EventClock(TrustedClock, Protocol):
    """Trusted time for those who judge other clocks by it."""

    def latest(self) -> datetime:
        """The latest instant that it may be: later than ``now`` only while nobody has confirmed any clock."""
        ...


class AuthorityClock(TrustedClock, Protocol):
    """Trusted time, as seen by those who hear the authority."""

    def authority_said(self, server_time: datetime) -> None:
        """A live reply carried the authority's time: it sets trusted time, forwards or back."""
        ...

    def issued(self, at: datetime, *, reset: bool) -> None:
        """A lease accepted now, once, says when it was made: that raises trusted time; ``reset`` lets it lower it."""
        ...

    def witness(self, at: datetime) -> None:
        """Verified evidence of our own says that it was ``at``: a bound from below where the mark has been lost."""
        ...


class MarkStore(Protocol):
    """Keeps the mark of trusted time across restarts; ``name`` is what status calls it."""

    name: str

    async def load(self) -> Mark | None:
        """The mark, if there is one. Raises ``IntegrityError`` when it fails verification, ``UnavailableError``."""
        ...

    async def save(self, mark: Mark) -> None:
        """Keep it durably; ``UnavailableError`` when that fails."""
        ...
