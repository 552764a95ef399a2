"""Time that decides about licenses: a mark that is carried on, and what may move it (2-licensing, Trusted time).

Owns the arithmetic; the clocks are read and the mark is kept by ``services.timekeeping``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

BUILT: Final = datetime(2026, 11, 22, tzinfo=UTC)
"""No clock is right that shows less: the release process raises it."""
UNCONFIRMED_BUDGET: Final = timedelta(hours=24)
"""How far a wall clock that nobody confirms may raise the mark, in total."""
TOLERANCE: Final = timedelta(seconds=60)
"""A wall clock this close to trusted time is not worth a flag."""
_LATENCY: Final = timedelta(seconds=5)
"""What whole seconds and the way of a reply explain: an authority time this close confirms, and moves nothing."""


class ClockFlag(StrEnum):
    """What is odd about the wall clock; shown, never punished."""

    ROLLBACK = "clock.rollback"
    """It is behind trusted time, which counts on regardless."""
    UNCONFIRMED = "clock.unconfirmed"
    """It is ahead of trusted time by more than anything confirms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look at the machine's clocks (``ports.clock.Clock``)."""

    wall: datetime
    boottime: timedelta
    boot_id: str
    synchronized: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Trusted time ``at``, said at ``boottime`` of boot ``boot_id``.

    ``raised`` is what an unconfirmed wall clock has added since the last confirmation, ``confirmed_in`` the boot of
    that, ``settled_in`` the boot in which the authority has spoken.
    """

    at: datetime
    boot_id: str = ""
    boottime: timedelta = timedelta(0)
    raised: timedelta = timedelta(0)
    confirmed_in: str = ""
    settled_in: str = ""


def advance(mark: Mark, reading: Reading) -> Mark:
    """The mark at ``reading``: counted on, and raised by the wall clock as far as it is believed. Never lowered.

    Once the authority has spoken in this boot, time is only counted on from there: a time server that says otherwise
    would undo it, and evidence would be stamped with one time and judged by another.
    """
    counted = mark.at + _elapsed(mark, reading)
    ahead = reading.wall - counted
    here = replace(mark, at=counted, boot_id=reading.boot_id, boottime=reading.boottime)
    if mark.settled_in == reading.boot_id:
        return here
    if reading.synchronized and ahead >= -TOLERANCE:
        return replace(here, at=max(counted, reading.wall), raised=timedelta(0), confirmed_in=reading.boot_id)
    believed = max(timedelta(0), min(ahead, _budget(mark, reading)))
    return replace(here, at=counted + believed, raised=mark.raised + believed)


def settle(mark: Mark, reading: Reading, said: datetime) -> Mark:
    """The mark after the authority said the time, live: it sets the mark in both directions."""
    counted = advance(mark, reading)
    at = counted.at if abs(said - counted.at) <= _LATENCY else said
    return replace(counted, at=at, raised=timedelta(0), confirmed_in=reading.boot_id, settled_in=reading.boot_id)


def flags(mark: Mark, reading: Reading) -> frozenset[ClockFlag]:
    """What to say about the wall clock beside a mark already advanced to ``reading``."""
    if reading.wall < mark.at - TOLERANCE:
        return frozenset({ClockFlag.ROLLBACK})
    return frozenset({ClockFlag.UNCONFIRMED}) if reading.wall > mark.at + TOLERANCE else frozenset()


def _elapsed(mark: Mark, reading: Reading) -> timedelta:
    """Time since the mark that the machine was seen running: of another boot, all since this one began."""
    before = mark.boottime if mark.boot_id == reading.boot_id else timedelta(0)
    return max(timedelta(0), reading.boottime - before)


def _budget(mark: Mark, reading: Reading) -> timedelta:
    """What an unconfirmed wall clock may still add.

    Nothing in a boot whose time was confirmed: since then every second was counted, so it has no news, only errors.
    """
    return timedelta(0) if mark.confirmed_in == reading.boot_id else UNCONFIRMED_BUDGET - mark.raised
