"""Fires the jobs of the table. The only importer of apscheduler; knows nothing of what a job does."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tapi_agent import telemetry
from tapi_agent.jobs.triggers import FromNow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apscheduler.events import JobEvent

    from tapi_agent.jobs.table import Job
    from tapi_agent.ports.clock import Clock

log = structlog.get_logger(__name__)

STEP: Final = timedelta(seconds=2)
"""A wall clock that moves this much against the monotonic clock within one look has been set, not slewed."""
_OUTCOMES: Final = {
    EVENT_JOB_EXECUTED: "ok",
    EVENT_JOB_ERROR: "failed",
    EVENT_JOB_MISSED: "missed",
    EVENT_JOB_MAX_INSTANCES: "still_running",
}


class JobScheduler:
    """Runs each job on its own interval, at most one instance of it at a time, missed runs merged into one."""

    def __init__(self, jobs: Iterable[Job], *, clock: Clock, look: timedelta = timedelta(seconds=1)) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._clock = clock
        self._look = look
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._note, sum(_OUTCOMES))
        self._failing: set[str] = set()

    def start(self) -> None:
        """Begin firing on the running event loop."""
        for job in self._jobs.values():
            self._schedule(job)
        self._scheduler.start()

    def add(self, jobs: Iterable[Job]) -> None:
        """Fire these as well from now on; one that is known under the same name and interval goes on as it is."""
        for job in jobs:
            known = self._jobs.get(job.name)
            if known is None or known.interval != job.interval:
                self._jobs[job.name] = job
                self._schedule(job)

    def stop(self) -> None:
        """Fire nothing more; jobs under way are cancelled."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def watch_clock(self, on_step: Callable[[timedelta], object]) -> None:
        """Until cancelled: after a wall-clock step, count every job's interval anew and call ``on_step(size)``.

        Without it a backward step of a year would silence every job for a year.
        """
        offset = self._offset()
        while True:
            await asyncio.sleep(self._look.total_seconds())
            step, offset = self._offset() - offset, self._offset()
            if abs(step) >= STEP:
                log.warning("clock.stepped", seconds=step.total_seconds())
                self.reschedule()
                on_step(step)

    def reschedule(self) -> None:
        """Let every job fire its ``first`` delay from now."""
        for job in self._jobs.values():
            self._scheduler.reschedule_job(job.name, trigger=_trigger(job))

    def _schedule(self, job: Job) -> None:
        self._scheduler.add_job(
            self._fire, _trigger(job), args=[job], id=job.name, name=job.name, replace_existing=True
        )

    async def _fire(self, job: Job) -> None:
        wish = await job.verb()
        if isinstance(wish, timedelta):
            self._scheduler.reschedule_job(job.name, trigger=FromNow(interval=job.interval, first=wish))

    def _note(self, event: JobEvent) -> None:
        """Count every outcome; log edges. A run skipped because the last one is still at it is only counted."""
        telemetry.JOB_RUNS.labels(job=event.job_id, outcome=_OUTCOMES[event.code]).inc()
        error = getattr(event, "exception", None)
        if event.code == EVENT_JOB_EXECUTED:
            self._note_success(event.job_id)
        elif isinstance(error, Exception):  # not CancelledError: that is how stop() ends what is under way
            self._note_failure(event.job_id, error)

    def _note_success(self, job: str) -> None:
        if job in self._failing:
            self._failing.remove(job)
            log.info("job.recovered", job=job)

    def _note_failure(self, job: str, error: Exception) -> None:
        if job not in self._failing:
            self._failing.add(job)
            log.error("job.failed", job=job, error=repr(error), exc_info=error)

    def _offset(self) -> timedelta:
        return timedelta(seconds=self._clock.wall().timestamp()) - self._clock.boottime()


def _trigger(job: Job) -> FromNow:
    return FromNow(interval=job.interval, first=job.first)
