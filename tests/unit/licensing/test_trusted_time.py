from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from tapi_agent.domain.trusted_time import ClockFlag, Mark, Reading, advance, flags, hear_issue, merge, settle

T: Final = datetime(2027, 3, 1, 12, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
UP: Final = timedelta(hours=10)
MARK: Final = Mark(at=T, boot_id="a", boottime=UP, confirmed_in="a")


def reading(*, wall=T, up=UP, boot="a", synced=False) -> Reading:
    return Reading(wall=wall, boottime=up, boot_id=boot, synchronized=synced)


CASES: Final = [
    # what, reading, expected trusted time
    ("counts on", reading(wall=T + HOUR, up=UP + HOUR), T + HOUR),
    ("counts sleep", reading(wall=T, up=UP + 9 * DAY), T + 9 * DAY),
    ("wall behind: counts on", reading(wall=T - DAY, up=UP + HOUR), T + HOUR),
    ("wall at 1970", reading(wall=datetime(1970, 1, 1, tzinfo=UTC), up=UP + HOUR), T + HOUR),
    ("a step in a confirmed boot is no news", reading(wall=T + 23 * HOUR), T),
    ("next boot: all of it counts", reading(boot="b", up=HOUR), T + HOUR),
    ("next boot: powered off for a night", reading(boot="b", up=HOUR, wall=T + 9 * HOUR), T + 9 * HOUR),
    ("next boot: a year ahead, unconfirmed", reading(boot="b", up=HOUR, wall=T + 365 * DAY), T + 25 * HOUR),
    ("next boot: a year ahead, confirmed", reading(boot="b", wall=T + 365 * DAY, synced=True), T + 365 * DAY),
    ("next boot: 1970", reading(boot="b", up=HOUR, wall=datetime(1970, 1, 1, tzinfo=UTC)), T + HOUR),
    ("time servers cannot turn it back", reading(wall=T - DAY, up=UP + HOUR, synced=True), T + HOUR),
    ("boottime that runs back counts as nothing", reading(up=UP - HOUR), T),
]


@pytest.mark.parametrize(("seen", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_what_moves_trusted_time(seen, expected) -> None:
    assert advance(MARK, seen).at == expected


def test_looking_twice_changes_nothing() -> None:
    seen = reading(boot="b", up=HOUR, wall=T + 365 * DAY)
    once = advance(MARK, seen)
    assert advance(once, seen) == once


def test_the_budget_of_an_unconfirmed_clock_is_a_day_in_total() -> None:
    mark = MARK
    for boot in range(24):
        mark = advance(mark, reading(boot=f"boot {boot}", up=timedelta(0), wall=mark.at + 23 * HOUR))
    assert mark.at == T + 24 * HOUR


def test_a_confirmation_renews_the_budget() -> None:
    spent = advance(MARK, reading(boot="b", up=timedelta(0), wall=T + 9 * DAY))
    confirmed = advance(spent, reading(boot="b", up=timedelta(0), wall=T + 9 * DAY, synced=True))
    assert (confirmed.at, confirmed.raised) == (T + 9 * DAY, timedelta(0))
    assert advance(confirmed, reading(boot="c", up=timedelta(0), wall=T + 99 * DAY)).at == T + 10 * DAY


def test_a_time_server_that_disagrees_renews_nothing() -> None:
    """A battery at 2099 and a time server after every boot: the difference must not creep up boot by boot."""
    mark = MARK
    for boot in range(5):
        mark = advance(mark, reading(boot=f"boot {boot}", up=timedelta(0), wall=T + 365 * DAY))
        mark = advance(mark, reading(boot=f"boot {boot}", up=timedelta(0), wall=T, synced=True))
    assert mark.at == T + 24 * HOUR


@pytest.mark.parametrize("difference", [-365 * DAY, -HOUR, HOUR, 365 * DAY])
def test_the_authority_sets_it_in_both_directions(difference) -> None:
    seen = reading(boot="b", up=timedelta(0), wall=T + 9 * DAY)
    settled = settle(MARK, seen, T + difference)
    assert (settled.at, settled.raised, settled.confirmed_in) == (T + difference, timedelta(0), "b")
    assert advance(settled, seen).at == T + difference


def test_in_the_boot_of_the_authority_no_time_server_undoes_what_it_said() -> None:
    settled = settle(MARK, reading(boot="b", up=timedelta(0)), T)
    assert advance(settled, reading(boot="b", up=HOUR, wall=T + 9 * DAY, synced=True)).at == T + HOUR
    assert advance(settled, reading(boot="c", up=HOUR, wall=T + 9 * DAY, synced=True)).at == T + 9 * DAY


@pytest.mark.parametrize("late", [-5 * SECOND, 5 * SECOND])
def test_what_a_slow_reply_explains_moves_nothing(late) -> None:
    settled = settle(Mark(at=T, boot_id="a", boottime=UP), reading(), T + late)
    assert (settled.at, settled.confirmed_in) == (T, "a")


@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        (T - 61 * SECOND, {ClockFlag.ROLLBACK}),
        (T - 60 * SECOND, set()),
        (T + 60 * SECOND, set()),
        (T + 61 * SECOND, {ClockFlag.UNCONFIRMED}),
    ],
)
def test_flags(wall, expected) -> None:
    assert flags(MARK, reading(wall=wall)) == expected


def test_every_flag_says_what_to_do() -> None:
    assert len({flag.fix for flag in ClockFlag}) == len(ClockFlag)


@pytest.mark.parametrize(
    ("issued", "reset", "expected"),
    [(-DAY, False, T), (DAY, False, T + DAY), (-DAY, True, T - DAY), (DAY, True, T + DAY)],
)
def test_when_a_lease_was_issued(issued, reset, expected) -> None:
    heard = hear_issue(replace(MARK, raised=HOUR), reading(), T + issued, reset=reset)
    assert (heard.at, heard.raised, heard.confirmed_in) == (expected, HOUR, "a")
    assert heard.resets == (expected < T)


def test_a_lease_that_only_raises_confirms_nothing_and_renews_no_budget() -> None:
    mark = Mark(at=T, boot_id="a", boottime=UP)
    for boot in range(24):
        seen = reading(boot=f"boot {boot}", up=timedelta(0), wall=mark.at + 23 * HOUR)
        mark = hear_issue(advance(mark, seen), seen, T, reset=False)
    assert (mark.at, mark.confirmed_in) == (T + DAY, "")


@pytest.mark.parametrize("synced", [False, True])
def test_in_its_boot_no_wall_clock_undoes_a_signed_reset(synced) -> None:
    seen = reading(boot="b", up=timedelta(0), wall=T + 9 * DAY, synced=synced)
    lowered = hear_issue(advance(MARK, seen), seen, T - DAY, reset=True)
    later = reading(boot="b", up=HOUR, wall=T + 9 * DAY, synced=synced)
    assert advance(lowered, later).at == T - DAY + HOUR


@pytest.mark.parametrize(("said", "resets"), [(T - DAY, 1), (T, 0), (T - SECOND, 0), (T + DAY, 0)])
def test_lowerings_are_counted(said, resets) -> None:
    assert settle(MARK, reading(), said).resets == resets


OLD: Final = Mark(at=T, boot_id="old", boottime=UP, confirmed_in="old")
HERE: Final = replace(OLD, at=T + HOUR, boot_id="a", confirmed_in="")
MERGES: Final = [
    # what, mine, theirs, expected trusted time and resets
    ("the later one", HERE, replace(OLD, at=T + DAY), T + DAY + UP, 0),
    ("whichever it is", HERE, replace(OLD, at=T - DAY), T + HOUR, 0),
    ("both counted on first", HERE, replace(HERE, at=T, boottime=UP - 2 * HOUR), T + 2 * HOUR, 0),
    ("an older, higher one of theirs", replace(HERE, resets=1), replace(OLD, at=T + DAY), T + HOUR, 1),
    ("an older, higher one of ours", HERE, replace(OLD, at=T - DAY, resets=1), T - DAY + UP, 1),
    (
        "the authority has spoken since",
        replace(HERE, settled_in="a"),
        replace(OLD, at=T + DAY, resets=7),
        T + HOUR,
        8,
    ),
    (
        "the authority had spoken to the process before",
        replace(HERE, at=T + DAY, confirmed_in="a"),
        replace(HERE, at=T, settled_in="a", confirmed_in="a", resets=1),
        T,
        1,
    ),
    (
        "a time server heard in this boot is news to a lowering before it",
        replace(HERE, confirmed_in="a"),
        replace(OLD, at=T - DAY, resets=2),
        T + HOUR,
        2,
    ),
    (
        "no time server turns it back",
        replace(HERE, confirmed_in="a"),
        replace(OLD, at=T + DAY),
        T + DAY + UP,
        0,
    ),
]


@pytest.mark.parametrize(("mine", "theirs", "at", "resets"), [pytest.param(*c[1:], id=c[0]) for c in MERGES])
def test_two_marks_become_one(mine, theirs, at, resets) -> None:
    both = merge(mine, theirs, reading())
    assert (both.at, both.resets, both.boot_id, both.boottime) == (at, resets, "a", UP)
    assert merge(theirs, mine, reading()) == both


@pytest.mark.parametrize(
    ("mine", "theirs", "raised"),
    [
        (replace(HERE, raised=HOUR), replace(OLD, raised=DAY), DAY),
        (replace(HERE, raised=DAY), replace(OLD, raised=HOUR), DAY),
        (replace(HERE, confirmed_in="a"), replace(OLD, raised=DAY), timedelta(0)),
    ],
    ids=["theirs", "ours", "confirmed since"],
)
def test_what_has_been_raised_is_not_forgotten_by_a_merge(mine, theirs, raised) -> None:
    assert merge(mine, theirs, reading()).raised == raised


def test_a_confirmation_in_this_boot_outlasts_a_merge() -> None:
    both = merge(replace(HERE, confirmed_in="a"), replace(OLD, at=T + DAY), reading())
    assert advance(both, reading(wall=T + 99 * DAY)).at == both.at
