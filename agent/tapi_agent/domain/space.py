"""What the free space on the disk of the state directory allows: four levels, each with what it means for recording."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_CLEARLY_MORE: Final = 1.125
"""A level is left again at so many times its threshold: files that come and go must not make it flicker."""


class Room(IntEnum):
    """How much there is, the least first."""

    FULL = 0
    """New events are refused, with an error."""
    SLOW = 1
    """Recording waits a moment each time."""
    SHED = 2
    """Delivered events are deleted early."""
    PLENTY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceTerms:
    """Bytes of free space below which room is ``shed``, ``slow``, full (``least``); ``ballast`` is held in reserve."""

    shed: int
    slow: int
    least: int
    ballast: int


def room(free: int, terms: SpaceTerms, *, before: Room) -> Room:
    """What ``free`` bytes allow; better than ``before`` only when it is clearly so."""
    now = _level(free, terms)
    return now if now <= before else max(before, _level(int(free / _CLEARLY_MORE), terms))


def usable(free: int, terms: SpaceTerms, *, holds_ballast: bool) -> int:
    """How many of the ``free`` bytes recording may count on: the reserve is for draining, held or given up."""
    return free if holds_ballast else max(free - terms.ballast, 0)


def _level(free: int, terms: SpaceTerms) -> Room:
    thresholds = ((Room.FULL, terms.least), (Room.SLOW, terms.slow), (Room.SHED, terms.shed))
    return next((level for level, threshold in thresholds if free < threshold), Room.PLENTY)
