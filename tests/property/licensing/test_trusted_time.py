"""No sequence of clock readings gives life, and none that nobody confirms takes more than a day of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.trusted_time import UNCONFIRMED_BUDGET, Mark, Reading, advance, settle

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
