"""What a plugin may register as work: which jobs can be scheduled, which sinks can be followed, which meters asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tapi_agent.domain.usage import Meter, UsageEvent
    from tapi_agent.plugin.values import Job, UsageSink

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
SHORTEST: Final = timedelta(seconds=1)
"""Between two runs of a job, or two questions: what must happen more often is no work for a schedule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A plugin's sink. Read once, on the plugin's thread: its attributes may be the plugin's own code."""

    since_beginning: bool
    send: Callable[[Sequence[UsageEvent]], None]


def schedulable(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """The jobs; raises ``RejectedError`` for a bad or repeated name, or an interval under a second."""
    named: dict[str, Job] = {}
    for job in jobs:
        _check_name(job.name, what="job")
        if job.every < SHORTEST:
            raise RejectedError(f"job {job.name} runs every {job.every}: at least 1 s", code="job_malformed")
        if named.setdefault(job.name, job) is not job:
            raise RejectedError(f"there are two jobs {job.name}", code="job_malformed")
    return tuple(named.values())


def askable(meters: Iterable[Meter]) -> tuple[Meter, ...]:
    """The meters; raises ``RejectedError`` for one to be asked more often than every second."""
    asked = tuple(meters)
    for meter in asked:
        if meter.every is not None and meter.every < SHORTEST:
            raise RejectedError(f"meter {meter.key} is asked every {meter.every}: at least 1 s", code="meter_malformed")
    return asked


def followable(sink: UsageSink | None) -> dict[str, Target]:
    """The sink as it is now, by its name; raises ``RejectedError`` for a bad one: its cursor is kept under it."""
    if sink is None:
        return {}
    name = sink.name
    _check_name(name, what="sink")
    return {name: Target(since_beginning=bool(getattr(sink, "since_beginning", False)), send=sink.send)}


def _check_name(name: object, *, what: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RejectedError(
            f"{ascii(name)[:60]} is no name for a {what}: lower-case letters, digits, _ and -, at most 64",
            code=f"{what}_malformed",
        )
