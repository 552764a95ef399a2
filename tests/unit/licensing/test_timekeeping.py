from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import structlog

from tapi_agent.domain.errors import IntegrityError, UnavailableError
from tapi_agent.domain.trusted_time import BUILT, ClockFlag
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.clock import START, FakeClock
from tapi_agent.testing.licenses import MemoryMark

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Y1970, Y2099 = datetime(1970, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture
def machine() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> MemoryMark:
    return MemoryMark()


async def booted(machine: FakeClock, store: MemoryMark) -> Timekeeper:
    timekeeper = Timekeeper(clock=machine, store=store)
    await timekeeper.start()
    return timekeeper


@pytest.mark.parametrize(
    ("wall", "expected"),
    [(Y1970, BUILT + HOUR), (Y2099, BUILT + HOUR + DAY), (BUILT + 3 * HOUR, BUILT + 3 * HOUR)],
    ids=["no battery", "a bad battery", "plausible"],
)
async def test_the_first_boot_begins_at_the_build_date(store, wall, expected) -> None:
    timekeeper = await booted(FakeClock(wall, synchronized=False), store)
    assert timekeeper.now() == expected


async def test_a_time_server_makes_it_right(machine, store) -> None:
    timekeeper = await booted(machine, store)
    assert timekeeper.now() == START
    assert timekeeper.describe().confirmed


@pytest.mark.parametrize("wall", [Y1970, START - HOUR, START - 365 * DAY], ids=str)
async def test_a_clock_set_back_gives_no_life(machine, store, wall) -> None:
    timekeeper = await booted(machine, store)
    timekeeper.now()
    machine.set_wall(wall)
    machine.advance(HOUR)
    report = timekeeper.describe()
    assert (report.trusted_now, report.flags) == (START + HOUR, {ClockFlag.ROLLBACK})


@pytest.mark.parametrize("wall", [Y2099, START + HOUR, START + 365 * DAY], ids=str)
async def test_a_clock_set_ahead_takes_no_life(machine, store, wall) -> None:
    timekeeper = await booted(machine, store)
    timekeeper.now()
    machine.set_wall(wall)
    report = timekeeper.describe()
    assert (report.trusted_now, report.flags) == (START, {ClockFlag.UNCONFIRMED})
    assert report.wall == wall


async def test_the_mark_survives_a_reboot(machine, store) -> None:
    timekeeper = await booted(machine, store)
    await timekeeper.persist()
    machine.reboot(off=9 * HOUR)
    again = await booted(machine, store)
    assert again.now() == START + 9 * HOUR
    assert not again.describe().confirmed
    machine.reboot(wall=Y1970)
    assert (await booted(machine, store)).now() == START


async def test_two_dozen_steps_of_23_hours_gain_nothing(machine, store) -> None:
    for _ in range(24):
        timekeeper = await booted(machine, store)
        machine.set_wall(timekeeper.now() + 23 * HOUR)
        timekeeper.now()
        await timekeeper.persist()
        machine.reboot(wall=machine.wall())
    assert timekeeper.now() <= START + DAY


async def test_the_authority_sets_it_in_both_directions(machine, store) -> None:
    timekeeper = await booted(machine, store)
    machine.is_synchronized = False
    timekeeper.authority_said(START + 40 * DAY)
    assert timekeeper.now() == START + 40 * DAY
    timekeeper.authority_said(START - 40 * DAY)
    assert timekeeper.now() == START - 40 * DAY


async def test_an_authority_that_agrees_confirms_and_moves_nothing(store) -> None:
    timekeeper = await booted(FakeClock(BUILT + 2 * HOUR, synchronized=False), store)
    timekeeper.authority_said(BUILT + 2 * HOUR + SECOND)
    report = timekeeper.describe()
    assert (report.trusted_now, report.confirmed) == (BUILT + 2 * HOUR, True)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Y1970, START),
        (datetime(1, 1, 1, tzinfo=UTC), START),
        (datetime(2001, 1, 1, tzinfo=UTC), BUILT),
        (datetime(9999, 12, 31, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)),
    ],
)
async def test_an_authority_without_a_clock_does_no_harm(store, said, expected) -> None:
    machine = FakeClock()
    timekeeper = await booted(machine, store)
    timekeeper.now()
    machine.set_wall(Y1970)
    timekeeper.authority_said(said)
    assert timekeeper.now() == expected
    machine.advance(DAY)
    assert timekeeper.now() == expected + DAY


async def test_without_a_mark_our_own_evidence_is_a_witness(store) -> None:
    timekeeper = await booted(FakeClock(Y1970, synchronized=False), store)
    timekeeper.witness(START)
    assert timekeeper.now() == START
    timekeeper.witness(START - DAY)
    assert timekeeper.now() == START


async def test_with_a_mark_a_witness_adds_a_day_at_most(machine, store) -> None:
    await (await booted(machine, store)).persist()
    timekeeper = await booted(machine, store)
    timekeeper.witness(START + 25 * HOUR)
    assert timekeeper.now() == START
    timekeeper.witness(START + MINUTE)
    assert timekeeper.now() == START + MINUTE


class BrokenMark(MemoryMark):
    """A mark that fails verification."""

    async def load(self):
        raise IntegrityError("changed by hand")


class MissingDisk(MemoryMark):
    """Cannot be read."""

    async def load(self):
        raise UnavailableError("no disk")


@pytest.mark.parametrize("store", [BrokenMark(), MissingDisk()], ids=["broken", "unreadable"])
async def test_a_lost_mark_stops_nothing(store) -> None:
    machine = FakeClock(Y1970, synchronized=False)
    timekeeper = await booted(machine, store)
    assert timekeeper.now() == BUILT + HOUR


async def test_a_mark_older_than_the_agent_is_the_build_date(machine, store) -> None:
    old = Timekeeper(clock=FakeClock(Y1970, synchronized=False), store=store, built=Y1970 + 9 * DAY)
    await old.persist()
    timekeeper = await booted(FakeClock(Y1970, synchronized=False), store)
    assert timekeeper.now() == BUILT


async def test_edges_are_logged_once(machine, store) -> None:
    timekeeper = await booted(machine, store)
    timekeeper.now()
    store.is_down = True
    with structlog.testing.capture_logs() as logs:
        for wall in (START, Y1970, Y1970, START):
            machine.set_wall(wall)
            await timekeeper.persist()
        store.is_down = False
        await timekeeper.persist()
        store.is_down = True
        await timekeeper.persist()
    assert [entry["event"] for entry in logs] == [
        "clock.mark_not_saved",
        "clock.rollback",
        "clock.rollback",
        "clock.mark_not_saved",
    ]
    assert logs[2]["over"]


async def test_the_latest_it_may_be_is_what_an_unconfirmed_wall_clock_shows(store) -> None:
    timekeeper = await booted(FakeClock(START + 90 * DAY, synchronized=False), store)
    assert timekeeper.now() < timekeeper.latest() == START + 90 * DAY
    timekeeper.authority_said(START)
    assert timekeeper.latest() == timekeeper.now() == START
    behind = await booted(FakeClock(Y1970, synchronized=False), store)
    assert behind.latest() == behind.now()
