"""What free space allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.space import Room, SpaceTerms, room, usable

TERMS = SpaceTerms(shed=1000, slow=500, least=250, ballast=60)


@pytest.mark.parametrize(
    ("free", "before", "expected"),
    [
        (1000, Room.PLENTY, Room.PLENTY),
        (999, Room.PLENTY, Room.SHED),
        (499, Room.PLENTY, Room.SLOW),
        (249, Room.PLENTY, Room.FULL),
        (0, Room.SHED, Room.FULL),
        (251, Room.FULL, Room.FULL),
        (282, Room.FULL, Room.SLOW),
        (1001, Room.SHED, Room.SHED),
        (1126, Room.SHED, Room.PLENTY),
        (10_000, Room.FULL, Room.PLENTY),
    ],
)
def test_a_level_is_left_only_when_there_is_clearly_more(free: int, before: Room, expected: Room) -> None:
    assert room(free, TERMS, before=before) is expected


@given(free=st.integers(0, 2000), more=st.integers(0, 2000), before=st.sampled_from(Room))
def test_more_space_is_never_less_room(free: int, more: int, before: Room) -> None:
    assert room(free, TERMS, before=before) <= room(free + more, TERMS, before=before)


@given(free=st.integers(0, 2000), before=st.sampled_from(Room))
def test_looking_twice_changes_nothing(free: int, before: Room) -> None:
    once = room(free, TERMS, before=before)
    assert room(free, TERMS, before=once) is once


@given(free=st.integers(60, 2000))
def test_holding_the_ballast_or_not_makes_no_difference_to_recording(free: int) -> None:
    held = usable(free - TERMS.ballast, TERMS, holds_ballast=True)
    assert held == usable(free, TERMS, holds_ballast=False)
