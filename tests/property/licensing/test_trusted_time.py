"""No sequence of clock readings gives life, and none that nobody confirms takes more than a day of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.trusted_time import UNCONFIRMED_BUDGET, Mark, Reading, advance, hear_issue, merge, settle

T = datetime(2027, 3, 1, tzinfo=UTC)
walls = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive
passing = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3))
steps = st.lists(st.tuples(walls, passing, st.booleans()), max_size=30)


def readings(steps, *, synchronized):
    """A machine that runs, reboots (third of a step) and has any wall clock."""
    boot, up = 0, timedelta(hours=1)
    for wall, ran, reboots in steps:
        boot, up = (boot + 1, ran) if reboots else (boot, up + ran)
        yield Reading(wall=wall, boottime=up, boot_id=str(boot), synchronized=synchronized)


@given(steps)
def test_unconfirmed_clocks_add_a_day_in_total_and_take_nothing(steps) -> None:
    mark, ran = Mark(at=T, boot_id="0", boottime=timedelta(hours=1)), timedelta(0)
    for step, reading in zip(steps, readings(steps, synchronized=False), strict=True):
        before, mark = mark, advance(mark, reading)
        ran += step[1]
        assert mark.at - before.at >= step[1]
        assert T + ran <= mark.at <= T + ran + UNCONFIRMED_BUDGET


@given(steps)
def test_only_the_authority_turns_it_back(steps) -> None:
    mark = Mark(at=T)
    for reading in readings(steps, synchronized=True):
        before, mark = mark.at, advance(mark, reading)
        assert mark.at >= before


@given(walls, walls, passing)
def test_what_the_authority_says_holds_whatever_the_wall_shows(said, wall, ran) -> None:
    first = Reading(wall=wall, boottime=ran, boot_id="0", synchronized=False)
    later = Reading(wall=wall, boottime=ran * 2, boot_id="0", synchronized=False)
    settled = settle(Mark(at=T), first, said)
    assert abs(settled.at - said) <= timedelta(seconds=5)
    assert advance(settled, later).at == settled.at + ran


@given(steps, st.lists(st.sampled_from(["both", "file", "database", "neither"]), min_size=30, max_size=30))
def test_two_stores_that_miss_writes_give_no_life_as_long_as_one_is_current(steps, kept) -> None:
    """Boot by boot the mark is taken up from both; what each of them missed may lie any time back."""
    mark = Mark(at=T, boot_id="0", boottime=timedelta(hours=1))
    file = database = mark
    ran = timedelta(0)
    for (_, passed, reboots), reading, where in zip(steps, readings(steps, synchronized=False), kept, strict=False):
        ran += passed
        if reboots:
            mark = merge(file, database, reading)
            missed = mark.at < T + ran
            ran = mark.at - T if missed else ran  # neither had been written: what was not kept is not known
        mark = advance(mark, reading)
        file = mark if where in {"both", "file"} else file
        database = mark if where in {"both", "database"} else database
        assert T + ran <= mark.at <= T + ran + UNCONFIRMED_BUDGET


@given(steps, st.lists(st.timedeltas(min_value=timedelta(days=-9), max_value=timedelta(0)), min_size=30, max_size=30))
def test_old_leases_do_not_let_an_unconfirmed_clock_creep(steps, ages) -> None:
    mark, ran = Mark(at=T, boot_id="0", boottime=timedelta(hours=1)), timedelta(0)
    for step, reading, age in zip(steps, readings(steps, synchronized=False), ages, strict=False):
        ran += step[1]
        mark = hear_issue(mark, reading, T + ran + age, reset=False)
        assert T + ran <= mark.at <= T + ran + UNCONFIRMED_BUDGET


@given(walls, walls, st.booleans())
def test_a_lowering_wins_over_every_mark_from_before_it(wrong, said, swapped) -> None:
    reading = Reading(wall=wrong, boottime=timedelta(hours=1), boot_id="0", synchronized=True)
    before = advance(Mark(at=T), reading)
    after = settle(before, reading, said)
    next_boot = Reading(wall=T, boottime=timedelta(0), boot_id="1", synchronized=False)
    marks = (after, before) if swapped else (before, after)
    expected = after.at if after.resets else max(before.at, after.at)
    assert merge(*marks, next_boot).at == expected
