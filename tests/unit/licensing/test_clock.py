from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tapi_agent.adapters.clock import SystemClock, kernel_disciplined
from tapi_agent.testing.clock import START, FakeClock

if TYPE_CHECKING:
    from pathlib import Path

HOUR = timedelta(hours=1)


class SteppedClock(SystemClock):
    """The real one, with a wall clock and an uptime that the test sets."""

    def __init__(self, synchronized: Path) -> None:
        super().__init__(synchronized=synchronized, disciplined=lambda: self.disciplined)
        self.disciplined = False
        self.now = START
        self.up = HOUR

    def wall(self) -> datetime:
        return self.now

    def boottime(self) -> timedelta:
        return self.up

    def run(self, passing: timedelta) -> None:
        self.now += passing
        self.up += passing


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "synchronized"


@pytest.fixture
def clock(file: Path) -> SteppedClock:
    return SteppedClock(file)


def touch(file: Path, at: datetime) -> None:
    file.touch()
    os.utime(file, (at.timestamp(), at.timestamp()))


def test_the_machines_clocks() -> None:
    clock = SystemClock()
    assert clock.wall().tzinfo is UTC
    assert clock.boottime() >= timedelta(seconds=clock.monotonic()) - timedelta(milliseconds=1)
    assert str(UUID(clock.boot_id())) == clock.boot_id()
    assert clock.boottime() <= clock.boottime()


def test_no_time_server(clock: SteppedClock) -> None:
    assert not clock.synchronized()


def test_a_time_server_has_set_it(clock: SteppedClock, file: Path) -> None:
    touch(file, clock.now)
    assert clock.synchronized()
    clock.run(9 * HOUR)
    assert clock.synchronized()


def test_set_before_the_agent_started(clock: SteppedClock, file: Path) -> None:
    touch(file, clock.now - HOUR / 2)
    assert clock.synchronized()


@pytest.mark.parametrize("step", [-HOUR, HOUR, 365 * 24 * HOUR])
def test_set_by_hand_since(clock: SteppedClock, file: Path, step: timedelta) -> None:
    touch(file, clock.now)
    assert clock.synchronized()
    clock.now += step
    assert not clock.synchronized()
    clock.now -= step
    assert clock.synchronized()


@pytest.mark.parametrize("step", [-HOUR, 2 * HOUR, 365 * 24 * HOUR])
def test_set_by_hand_between_the_time_server_and_our_look(clock: SteppedClock, file: Path, step: timedelta) -> None:
    touch(file, clock.now)
    clock.now += step
    assert not clock.synchronized()


def test_mended_by_the_time_server(clock: SteppedClock, file: Path) -> None:
    touch(file, clock.now)
    clock.now += 24 * HOUR
    assert not clock.synchronized()
    clock.run(HOUR)
    clock.now -= 24 * HOUR
    touch(file, clock.now)
    clock.run(HOUR / 2)
    assert clock.synchronized()


def test_the_file_of_an_earlier_boot_vouches_for_nothing(clock: SteppedClock, file: Path) -> None:
    touch(file, clock.now - 2 * HOUR)
    assert not clock.synchronized()


def test_the_fake_moves_each_clock_alone() -> None:
    clock = FakeClock()
    clock.advance(HOUR)
    clock.suspend(HOUR)
    assert (clock.wall(), clock.boottime(), clock.monotonic()) == (START + 2 * HOUR, 3 * HOUR, 7200)
    clock.set_wall(START)
    assert (clock.wall(), clock.boottime(), clock.synchronized()) == (START, 3 * HOUR, False)
    before = clock.boot_id()
    clock.reboot(off=HOUR)
    assert (clock.wall(), clock.boottime(), clock.monotonic()) == (START + HOUR, timedelta(0), 0)
    assert clock.boot_id() != before


def test_a_clock_that_a_daemon_disciplines_is_synchronized_without_the_file(tmp_path: Path) -> None:
    clock = SystemClock(synchronized=tmp_path / "absent", disciplined=lambda: True)
    assert clock.synchronized()


def test_the_kernel_is_asked_whether_its_clock_is_disciplined() -> None:
    told = subprocess.run(
        [sys.executable, "-c", ASK_THE_KERNEL], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert kernel_disciplined() is (told.strip() == "0")


ASK_THE_KERNEL = """
import ctypes
class Timex(ctypes.Structure):
    _fields_ = [("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
                ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
                ("rest", ctypes.c_char * 256)]
state = Timex()
ctypes.CDLL(None).adjtimex(ctypes.byref(state))
print(state.status & 64)
"""
