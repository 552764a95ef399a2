from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time
from structlog.testing import capture_logs

from tapi_agent import telemetry
from tapi_agent.jobs.scheduler import JobScheduler
from tapi_agent.jobs.table import Job
from tapi_agent.jobs.triggers import FromNow

MINUTE = timedelta(minutes=1)
NEVER = timedelta(days=1)
SOON = timedelta(milliseconds=5)


class SteppedClock:
    """A machine whose wall clock a test can set."""

    def __init__(self) -> None:
        self.step = timedelta(0)

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + self.step

    def monotonic(self) -> float:
        return 0.0

    def boottime(self) -> timedelta:
        return timedelta(0)

    def boot_id(self) -> str:
        return "boot"

    def synchronized(self) -> bool:
        return False


class Counter:
    """A verb that can be waited for."""

    def __init__(self) -> None:
        self.count = 0
        self.called = asyncio.Event()

    async def __call__(self) -> None:
        self.count += 1
        self.called.set()

    async def again(self) -> None:
        self.called.clear()
        async with asyncio.timeout(5):
            await self.called.wait()


def test_trigger_counts_from_the_time_of_firing() -> None:
    trigger = FromNow(interval=MINUTE, first=timedelta(seconds=5))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert trigger.get_next_fire_time(None, now) == now + timedelta(seconds=5)
    assert trigger.get_next_fire_time(datetime(1970, 1, 1, tzinfo=UTC), now) == now + MINUTE


async def test_a_forward_step_of_56_years_is_one_run_not_millions() -> None:
    counter = Counter()
    job = Job(name="count", verb=counter, interval=timedelta(seconds=5), first=timedelta(seconds=5))
    scheduler = JobScheduler([job], clock=SteppedClock())
    with freeze_time("1970-01-01", real_asyncio=True) as frozen:
        scheduler.start()
        frozen.move_to("2026-01-01")
        scheduler._scheduler.wakeup()
        await counter.again()
        following = scheduler._scheduler.get_job("count").next_run_time
        scheduler.stop()
    assert counter.count == 1
    assert following == datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)


class CountedTrigger(FromNow):
    """Remembers how often a run time was computed."""

    computed = 0

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        self.computed += 1
        return super().get_next_fire_time(previous_fire_time, now)


STEPS = [
    pytest.param(datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), id="1970 to 2026"),
    pytest.param(datetime(2099, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), id="2099 to 2026"),
    pytest.param(datetime(2026, 1, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), id="an hour back"),
    pytest.param(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC), id="an hour ahead"),
]


@pytest.mark.parametrize(("before", "after"), STEPS)
async def test_a_step_costs_one_run_time_a_job_and_the_next_run_is_an_interval_away(
    monkeypatch: pytest.MonkeyPatch, before: datetime, after: datetime
) -> None:
    """What blocks the loop is the walk over missed run times: there is none, whatever the step."""
    counter, clock, triggers, stepped = Counter(), SteppedClock(), [], asyncio.Event()

    def trigger(job: Job) -> CountedTrigger:
        triggers.append(CountedTrigger(interval=job.interval, first=job.first))
        return triggers[-1]

    monkeypatch.setattr("tapi_agent.jobs.scheduler._trigger", trigger)
    job = Job(name="count", verb=counter, interval=timedelta(seconds=5))
    scheduler = JobScheduler([job], clock=clock, look=timedelta(milliseconds=1))
    with freeze_time(before, real_asyncio=True) as frozen:
        scheduler.start()
        await counter.again()
        watch = asyncio.create_task(scheduler.watch_clock(lambda _step: stepped.set()))
        await asyncio.sleep(0)
        frozen.move_to(after)
        clock.step = after - before
        await counter.again()
        await asyncio.wait_for(stepped.wait(), 5)
        following = scheduler._scheduler.get_job("count").next_run_time
        watch.cancel()
        scheduler.stop()
    assert counter.count == 2
    assert following == after + timedelta(seconds=5)
    assert [one.computed for one in triggers] == [3, 3]  # when scheduled, to end the walk, and for the next run


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(days=-365), timedelta(days=3650)], ids=str)
async def test_a_clock_step_schedules_every_job_anew(step: timedelta) -> None:
    counter, clock, steps = Counter(), SteppedClock(), []
    scheduler = JobScheduler(
        [Job(name="count", verb=counter, interval=NEVER)], clock=clock, look=timedelta(milliseconds=1)
    )
    scheduler.start()
    await counter.again()
    watch = asyncio.create_task(scheduler.watch_clock(steps.append))
    await asyncio.sleep(0)
    clock.step = step
    await counter.again()
    watch.cancel()
    scheduler.stop()
    assert steps == [step]
    assert counter.count == 2


async def test_slew_is_not_a_step() -> None:
    clock, steps = SteppedClock(), []
    scheduler = JobScheduler([], clock=clock, look=timedelta(milliseconds=1))
    watch = asyncio.create_task(scheduler.watch_clock(steps.append))
    await asyncio.sleep(0)
    clock.step = timedelta(seconds=1)
    ticks = Counter()
    scheduler._jobs = {"tick": Job(name="tick", verb=ticks, interval=NEVER)}
    scheduler.start()
    await ticks.again()
    watch.cancel()
    scheduler.stop()
    assert steps == []


async def test_a_verb_can_say_when_it_wants_to_be_called_again() -> None:
    done = Counter()

    async def wishful() -> timedelta:
        await done()
        return timedelta(hours=3)

    scheduler = JobScheduler([Job(name="beat", verb=wishful, interval=MINUTE)], clock=SteppedClock())
    scheduler.start()
    await done.again()
    while (job := scheduler._scheduler.get_job("beat")).trigger.first != timedelta(hours=3):
        await asyncio.sleep(0)
    scheduler.stop()
    assert job.next_run_time - datetime.now(UTC) > timedelta(hours=2)  # noqa: TID251 - APScheduler reads the wall clock


async def test_a_failing_job_fires_again_and_only_its_edges_are_logged() -> None:
    rounds = Counter()
    failing = True

    async def unsteady() -> None:
        await rounds()
        if failing:
            raise RuntimeError("on purpose")

    scheduler = JobScheduler([Job(name="unsteady", verb=unsteady, interval=SOON)], clock=SteppedClock())
    with capture_logs() as lines:
        scheduler.start()
        for _ in range(3):
            await rounds.again()
        failing = False
        for _ in range(2):
            await rounds.again()
        scheduler.stop()
    assert [(line["event"], line["job"]) for line in lines] == [
        ("job.failed", "unsteady"),
        ("job.recovered", "unsteady"),
    ]


async def test_a_job_that_outlasts_its_interval_is_no_news() -> None:
    skipped = _runs("slow", "still_running")
    done = asyncio.Event()

    async def slow() -> None:
        await done.wait()

    scheduler = JobScheduler([Job(name="slow", verb=slow, interval=SOON)], clock=SteppedClock())
    with capture_logs() as lines:
        scheduler.start()
        async with asyncio.timeout(5):
            while _runs("slow", "still_running") < skipped + 2:
                await asyncio.sleep(0)
        scheduler.stop()
        done.set()
    assert lines == []


async def test_stopping_in_the_middle_of_a_job_is_no_failure() -> None:
    begun, ended = Counter(), asyncio.Event()

    async def endless() -> None:
        try:
            await begun()
            await asyncio.Event().wait()
        finally:
            ended.set()

    scheduler = JobScheduler([Job(name="endless", verb=endless, interval=NEVER)], clock=SteppedClock())
    with capture_logs() as lines:
        scheduler.start()
        await begun.again()
        scheduler.stop()
        async with asyncio.timeout(5):
            await ended.wait()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert lines == []


def _runs(job: str, outcome: str) -> float:
    return telemetry.JOB_RUNS.labels(job=job, outcome=outcome)._value.get()
