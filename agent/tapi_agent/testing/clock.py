"""A clock that stands still until a test moves it; each of the machine's clocks can be moved alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2027, 3, 1, 12, tzinfo=UTC)


class FakeClock:
    """Implements ``ports.clock.Clock``. A new one has been up for an hour, with a right and confirmed wall clock."""

    def __init__(self, wall: datetime = START, *, synchronized: bool = True) -> None:
        self._wall = wall
        self._boottime = timedelta(hours=1)
        self._awake = timedelta(hours=1)
        self._boots = 1
        self.is_synchronized = synchronized

    def wall(self) -> datetime:
        """The wall clock."""
        return self._wall

    def monotonic(self) -> float:
        """Seconds awake."""
        return self._awake.total_seconds()

    def boottime(self) -> timedelta:
        """Time since boot."""
        return self._boottime

    def boot_id(self) -> str:
        """Changes with every ``reboot``."""
        return f"boot-{self._boots}"

    def synchronized(self) -> bool:
        """What the test has set ``is_synchronized`` to."""
        return self.is_synchronized

    def advance(self, by: timedelta) -> None:
        """Time passes."""
        self.suspend(by)
        self._awake += by

    def suspend(self, by: timedelta) -> None:
        """Time passes while the machine sleeps."""
        self._wall += by
        self._boottime += by

    def set_wall(self, wall: datetime, *, synchronized: bool = False) -> None:
        """Someone sets the wall clock; no other clock moves."""
        self._wall = wall
        self.is_synchronized = synchronized

    def reboot(self, *, off: timedelta = timedelta(0), wall: datetime | None = None) -> None:
        """Power off for ``off``, then boot; ``wall`` is what a bad battery makes of it. Not synchronized."""
        self._boots += 1
        self._boottime = self._awake = timedelta(0)
        self.set_wall(wall or self._wall + off)
