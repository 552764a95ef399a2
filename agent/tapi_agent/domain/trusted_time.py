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

    @property
    def fix(self) -> str:
        """What to do about it."""
        match self:
            case ClockFlag.ROLLBACK:
                return "set this machine's clock, best by NTP; a live answer of the service may set trusted time back"
            case ClockFlag.UNCONFIRMED:
                return "let NTP or the billing service confirm the clock, or import a new lease; set it if it is wrong"


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
    that, ``settled_in`` the boot in which the authority has spoken. ``resets`` counts how often it was lowered: an
    older, higher mark is known by having fewer.
    """

    at: datetime
    boot_id: str = ""
    boottime: timedelta = timedelta(0)
    raised: timedelta = timedelta(0)
    confirmed_in: str = ""
    settled_in: str = ""
    resets: int = 0


def advance(mark: Mark, reading: Reading) -> Mark:
    """The mark at ``reading``: counted on, and raised by the wall clock as far as it is believed. Never lowered.

    Once the authority has spoken in this boot, time is only counted on from there: a time server that says otherwise
    would undo it, and evidence would be stamped with one time and judged by another.
    """
    here = _counted(mark, reading)
    ahead = reading.wall - here.at
    if mark.settled_in == reading.boot_id:
        return here
    if reading.synchronized and ahead >= -TOLERANCE:
        return replace(here, at=max(here.at, reading.wall), raised=timedelta(0), confirmed_in=reading.boot_id)
    believed = max(timedelta(0), min(ahead, _budget(mark, reading)))
    return replace(here, at=here.at + believed, raised=mark.raised + believed)


def settle(mark: Mark, reading: Reading, said: datetime) -> Mark:
    """The mark after the authority said the time, live: it sets the mark in both directions."""
    counted = advance(mark, reading)
    moved = counted if abs(said - counted.at) <= _LATENCY else _set(counted, said)
    return replace(moved, raised=timedelta(0), confirmed_in=reading.boot_id, settled_in=reading.boot_id)


def hear_issue(mark: Mark, reading: Reading, issued: datetime, *, reset: bool) -> Mark:
    """The mark after a genuine lease said when it was made: not later than now, so it raises, and confirms nothing.

    ``reset`` (signed): it sets the mark in both directions, and in this boot no wall clock undoes that (ADR 0067).
    """
    counted = advance(mark, reading)
    if reset:
        return replace(_set(counted, issued), settled_in=reading.boot_id)
    return _set(counted, max(counted.at, issued))


def merge(mine: Mark, theirs: Mark, reading: Reading) -> Mark:
    """Of two marks that were kept apart for a while, the one to go on with, counted on to ``reading``.

    First counts what the authority has said in this boot, then how often the mark was lowered, then the later time:
    so no older, higher mark comes back. Only a time server that was heard in this boot is news to a lowering of an
    earlier one. What an unconfirmed wall clock may still add never grows by it.
    """
    boot = reading.boot_id
    both = [_counted(mark, reading) for mark in (mine, theirs)]
    lesser, chosen = sorted(both, key=lambda mark: (mark.settled_in == boot, mark.resets, mark.at))
    is_news = lesser.confirmed_in == boot and chosen.settled_in != boot
    at = max(lesser.at, chosen.at) if is_news else chosen.at
    confirmed = [mark for mark in both if mark.confirmed_in == boot]
    return replace(
        chosen,
        at=at,
        raised=max(mark.raised for mark in confirmed or both),
        confirmed_in=boot if confirmed else chosen.confirmed_in,
        resets=max(chosen.resets, lesser.resets + (lesser.at > at)),
    )


def flags(mark: Mark, reading: Reading) -> frozenset[ClockFlag]:
    """What to say about the wall clock beside a mark already advanced to ``reading``."""
    if reading.wall < mark.at - TOLERANCE:
        return frozenset({ClockFlag.ROLLBACK})
    return frozenset({ClockFlag.UNCONFIRMED}) if reading.wall > mark.at + TOLERANCE else frozenset()


def _counted(mark: Mark, reading: Reading) -> Mark:
    return replace(mark, at=mark.at + _elapsed(mark, reading), boot_id=reading.boot_id, boottime=reading.boottime)


def _set(mark: Mark, at: datetime) -> Mark:
    return replace(mark, at=at, resets=mark.resets + (at < mark.at))


def _elapsed(mark: Mark, reading: Reading) -> timedelta:
    """Time since the mark that the machine was seen running: of another boot, all since this one began."""
    before = mark.boottime if mark.boot_id == reading.boot_id else timedelta(0)
    return max(timedelta(0), reading.boottime - before)


def _budget(mark: Mark, reading: Reading) -> timedelta:
    """What an unconfirmed wall clock may still add.

    Nothing in a boot whose time was confirmed: since then every second was counted, so it has no news, only errors.
    """
    return timedelta(0) if mark.confirmed_in == reading.boot_id else UNCONFIRMED_BUDGET - mark.raised
