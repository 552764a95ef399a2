"""What a job is: a name, the one service verb it calls, how often. bootstrap fills the table; plugins may add lines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

Verb = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Calls ``verb`` after ``first`` and then every ``interval``, each counted from the last firing.

    A verb that returns a ``timedelta`` says itself how long to wait this once.
    """

    name: str
    verb: Verb
    interval: timedelta
    first: timedelta = timedelta(0)
