from __future__ import annotations

import asyncio
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


# --- several stores ---


@pytest.fixture
def postgres() -> MemoryMark:
    return MemoryMark("postgres")


async def on_two(machine: FakeClock, file: MemoryMark, postgres: MemoryMark) -> Timekeeper:
    timekeeper = Timekeeper(clock=machine, store=file, others=[postgres])
    await timekeeper.start()
    return timekeeper


async def used(machine: FakeClock, file: MemoryMark, postgres: MemoryMark) -> None:
    """A run of the agent that has left its mark in both."""
    timekeeper = await on_two(machine, file, postgres)
    await timekeeper.consult()
    await timekeeper.persist()
    machine.reboot(wall=Y1970)


@pytest.mark.parametrize("lost", ["file", "postgres", "neither"])
async def test_it_survives_either_being_lost(machine, store, postgres, lost) -> None:
    await used(machine, store, postgres)
    if lost != "neither":
        {"file": store, "postgres": postgres}[lost].mark = None
    timekeeper = await on_two(machine, store, postgres)
    assert timekeeper.now() == (BUILT if lost == "file" else START)
    await timekeeper.consult()
    assert timekeeper.now() == postgres.mark.at == START
    await timekeeper.persist()
    assert store.mark == postgres.mark


@pytest.mark.parametrize("broken", ["file", "postgres"])
async def test_a_store_whose_mark_is_not_ours_counts_as_lost_and_is_told(machine, store, postgres, broken) -> None:
    await used(machine, store, postgres)
    stores = {"file": store, "postgres": postgres}
    stores[broken] = BrokenMark(broken)
    with structlog.testing.capture_logs() as logs:
        timekeeper = await on_two(machine, stores["file"], stores["postgres"])
        await timekeeper.consult()
    assert timekeeper.now() == START
    assert [(e["event"], e["store"]) for e in logs if e["event"] == "clock.mark_lost"] == [("clock.mark_lost", broken)]
    file, _ = timekeeper.describe().marks
    assert file.problem == ("changed by hand" if broken == "file" else "")
    await timekeeper.persist()
    assert [mark.held for mark in timekeeper.describe().marks] == [True, True]
    assert stores[broken].mark.at == START


async def test_what_has_not_been_read_is_not_written_over(machine, store, postgres) -> None:
    await used(machine, store, postgres)
    store.mark = None
    postgres.is_down = True
    timekeeper = await on_two(machine, store, postgres)
    await timekeeper.consult()
    postgres.is_down = False
    await timekeeper.persist()
    assert postgres.mark.at == START
    assert [mark.held for mark in timekeeper.describe().marks] == [True, False]
    await timekeeper.consult()
    assert timekeeper.now() == START


async def test_a_store_that_was_away_is_read_again_once_it_is_back(machine, store, postgres) -> None:
    timekeeper = await on_two(machine, store, postgres)
    await timekeeper.consult()
    await timekeeper.persist()
    postgres.is_down = True
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await timekeeper.persist()
            await timekeeper.consult()
    assert [(entry["event"], entry["store"]) for entry in logs] == [("clock.mark_not_saved", "postgres")]
    machine.advance(HOUR)
    await timekeeper.persist()
    restored, postgres.is_down = postgres.mark, False
    assert restored.at == START
    await timekeeper.consult()
    await timekeeper.persist()
    assert (timekeeper.now(), postgres.mark.at) == (START + HOUR, START + HOUR)


async def test_a_store_that_is_up_is_read_only_once(machine, store, postgres) -> None:
    timekeeper = await on_two(machine, store, postgres)
    await timekeeper.consult()
    await timekeeper.persist()
    postgres.mark = None
    await timekeeper.consult()
    assert [mark.held for mark in timekeeper.describe().marks] == [True, True]


@pytest.mark.parametrize("away", ["file", "postgres"])
async def test_an_older_higher_mark_does_not_undo_what_the_authority_has_lowered(store, postgres, away) -> None:
    """A wrong clock was believed, the authority set it right, and one store missed that."""
    machine = FakeClock(START + 365 * DAY)
    timekeeper = await on_two(machine, store, postgres)
    await timekeeper.consult()
    timekeeper.now()
    await timekeeper.persist()
    {"file": store, "postgres": postgres}[away].is_down = True
    timekeeper.authority_said(START)
    await timekeeper.persist()
    store.is_down = postgres.is_down = False
    machine.reboot(wall=Y1970)
    again = await on_two(machine, store, postgres)
    await again.consult()
    assert again.now() == START
    await again.persist()
    assert store.mark == postgres.mark


async def test_what_the_authority_says_before_postgresql_answers_stands(machine, store, postgres) -> None:
    machine.set_wall(START + 365 * DAY, synchronized=True)
    await used(machine, store, postgres)
    store.mark = None
    timekeeper = await on_two(machine, store, postgres)
    timekeeper.authority_said(START)
    await timekeeper.consult()
    assert timekeeper.now() == START
    await timekeeper.persist()
    machine.reboot(wall=Y1970)
    postgres.mark, store.mark = store.mark, None
    again = await on_two(machine, store, postgres)
    await again.consult()
    assert again.now() == START


class HungMark(MemoryMark):
    """Takes what it is given and never answers."""

    def __init__(self) -> None:
        super().__init__("hung")
        self.asked = asyncio.Event()

    async def save(self, _mark):
        self.asked.set()
        await asyncio.Event().wait()


async def test_the_file_is_written_while_the_other_hangs(machine, store) -> None:
    hung = HungMark()
    timekeeper = await on_two(machine, store, hung)
    jobs = [asyncio.create_task(timekeeper.consult())]
    await hung.asked.wait()
    hung.asked.clear()
    jobs.append(asyncio.create_task(timekeeper.persist()))
    await hung.asked.wait()
    await asyncio.sleep(0)
    assert store.mark.at == START
    for job in jobs:
        job.cancel()


async def test_a_mark_that_moves_time_is_told(machine, store, postgres) -> None:
    await used(machine, store, postgres)
    store.mark = None
    timekeeper = await on_two(machine, store, postgres)
    with structlog.testing.capture_logs() as logs:
        await timekeeper.consult()
    assert [(entry["event"], entry["seconds"]) for entry in logs] == [
        ("clock.mark_merged", (START - BUILT).total_seconds())
    ]


# --- leases ---


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("days", [-400, -1, 1, 400])
async def test_a_lease_raises_and_only_with_reset_lowers(machine, store, days, reset) -> None:
    timekeeper = await booted(machine, store)
    timekeeper.now()
    machine.is_synchronized = False
    with structlog.testing.capture_logs() as logs:
        timekeeper.issued(START + days * DAY, reset=reset)
    moves = reset or days > 0
    expected = max(START + days * DAY, BUILT) if moves else START
    assert timekeeper.now() == expected
    assert [entry["event"] for entry in logs] == ["clock.set_by_lease"] * moves


async def test_a_lease_without_a_date_says_nothing(machine, store) -> None:
    timekeeper = await booted(machine, store)
    timekeeper.issued(Y1970, reset=True)
    assert timekeeper.now() == START


async def test_status_says_what_to_do_about_a_flag(machine, store) -> None:
    timekeeper = await booted(machine, store)
    assert (timekeeper.describe().fixes, timekeeper.describe().marks[0].held) == ([], False)
    machine.set_wall(Y1970)
    assert timekeeper.describe().fixes == [ClockFlag.ROLLBACK.fix]
