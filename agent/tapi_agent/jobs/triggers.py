"""When a job fires next, computed so that a clock step can neither flood nor stall it (ADR 0003)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apscheduler.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from datetime import datetime, timedelta


class FromNow(BaseTrigger):  # type: ignore[misc]  # apscheduler ships no types
    """Fires ``first`` after the start and then ``interval`` after each firing.

    APScheduler's own interval trigger counts from the previous fire time: after a step from 1970 to today it would
    walk every missed tick (minutes of CPU, gigabytes). This one counts from the time of firing.
    """

    def __init__(self, *, interval: timedelta, first: timedelta) -> None:
        self.interval = interval
        self.first = first

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The next fire time, as APScheduler asks for it."""
        return now + (self.interval if previous_fire_time else self.first)
