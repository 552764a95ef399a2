"""How long the event loop stands still while jobs are scheduled anew after a step of the wall clock.

The real scheduler with as many jobs as the agent has, on a wall clock that is stepped; a coroutine that does nothing
but come round measures the longest gap between two of its turns, with and without a step. Bound: 50 ms (issue 4).
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta

from freezegun import freeze_time

from tapi_agent.jobs.scheduler import JobScheduler
from tapi_agent.jobs.table import Job
from tapi_agent.testing.clock import FakeClock

JOBS = 12
INTERVAL = timedelta(seconds=5)
LOOK = timedelta(milliseconds=5)
WATCHED_FOR = timedelta(milliseconds=500)
STEPS = {
    "none": (2026, 2026),
    "1970 to 2026": (1970, 2026),
    "2026 to 1970": (2026, 1970),
    "2099 to 2026": (2099, 2026),
}


class Gaps:
    """The longest time between two turns of a coroutine that always wants one."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Until cancelled."""
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            turn = time.perf_counter()
            self.longest, last = max(self.longest, turn - last), turn


async def measure(before: int, after: int) -> tuple[float, int]:
    """Longest gap in ms around a step, and how many jobs ran."""
    runs, clock, gaps = [], FakeClock(datetime(before, 1, 1, tzinfo=UTC)), Gaps()

    async def run() -> None:
        runs.append(1)

    jobs = [Job(name=f"job {number}", verb=run, interval=INTERVAL) for number in range(JOBS)]
    scheduler = JobScheduler(jobs, clock=clock, look=LOOK)
    with freeze_time(datetime(before, 1, 1, tzinfo=UTC), real_asyncio=True, ignore=["__main__"]) as frozen:
        scheduler.start()
        tasks = [asyncio.create_task(scheduler.watch_clock(lambda _step: None)), asyncio.create_task(gaps.watch())]
        await asyncio.sleep(WATCHED_FOR.total_seconds())
        gaps.longest = 0.0
        frozen.move_to(datetime(after, 1, 1, tzinfo=UTC))
        clock.set_wall(datetime(after, 1, 1, tzinfo=UTC))
        await asyncio.sleep(WATCHED_FOR.total_seconds())
        for task in tasks:
            task.cancel()
        scheduler.stop()
    return gaps.longest * 1000, len(runs)


def main() -> None:
    """Print the longest gap and the runs of each step."""
    print(f"{JOBS} jobs every {INTERVAL}, load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    for name, (before, after) in STEPS.items():
        longest, runs = asyncio.run(measure(before, after))
        print(f"step {name:<14} longest gap {longest:6.1f} ms   runs {runs}")


if __name__ == "__main__":
    main()
