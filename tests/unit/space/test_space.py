"""What is looked at, refused, waited for and given up, on a disk that the test sets as it likes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from errno import EDQUOT, EIO
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tapi_agent.domain.errors import NoSpaceError, UnavailableError
from tapi_agent.domain.space import Room, SpaceTerms
from tapi_agent.services.space import Space

if TYPE_CHECKING:
    from collections.abc import Sequence

TERMS = SpaceTerms(shed=1000, slow=500, least=250, ballast=60)


class Disk:
    def __init__(self) -> None:
        self.left = 5000
        self.holds_ballast = False
        self.error: OSError | None = None
        self.quota_is_used_up = False

    def free(self) -> int:
        if self.error:
            raise self.error
        return self.left

    def hold_ballast(self) -> None:
        if self.quota_is_used_up:
            raise OSError(EDQUOT, "Disk quota exceeded")
        self.holds_ballast, self.left = True, self.left - TERMS.ballast

    def drop_ballast(self) -> None:
        if self.holds_ballast:
            self.holds_ballast, self.left = False, self.left + TERMS.ballast


class Counted:
    """Losses in memory."""

    def __init__(self) -> None:
        self.events = 0

    def refused(self, events: Sequence[Any]) -> None:
        self.events += len(events)

    async def write_down(self) -> None:
        pass


class Stand:
    def __init__(self) -> None:
        self.disk, self.counted, self.reliefs = Disk(), Counted(), 0
        losses: Any = self.counted
        self.space = Space(disk=self.disk, terms=TERMS, losses=losses, on_relief=self._relieved)

    async def with_free(self, left: int) -> Room:
        self.disk.left = left
        await self.space.look()
        return self.space.room

    def _relieved(self) -> None:
        self.reliefs += 1


@pytest.fixture
def stand() -> Stand:
    return Stand()


EVENTS: Any = ["one", "two"]


async def test_levels_open_and_close_the_door(stand: Stand) -> None:
    space = stand.space
    found = []
    for left in (5000, 900, 400, 200, 5000):
        room = await stand.with_free(left)
        found.append((room, space.is_open, space.is_crowded))
    assert found == [
        (Room.PLENTY, True, False),
        (Room.SHED, True, True),
        (Room.SLOW, False, True),
        (Room.FULL, False, True),
        (Room.PLENTY, True, False),
    ]
    assert stand.reliefs == 1


async def test_a_full_disk_refuses_and_counts_and_says_what_to_do(stand: Stand) -> None:
    await stand.with_free(200)
    with pytest.raises(NoSpaceError, match=r"2 events were refused.*200 bytes free") as refusal:
        await stand.space.admit(EVENTS)
    assert "free space" in refusal.value.fix
    assert refusal.value.retry_after
    assert stand.counted.events == 2


async def test_whoever_waits_while_room_is_scarce_goes_on_as_soon_as_there_is_some(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapi_agent.services.space._MOMENT", timedelta(hours=1))
    await stand.with_free(400)
    waiting = [asyncio.create_task(stand.space.admit(EVENTS)) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(one.done() for one in waiting)
    await stand.with_free(5000)
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
    assert stand.counted.events == 0


async def test_whoever_waits_is_refused_when_the_disk_is_full_after_that(stand: Stand) -> None:
    await stand.with_free(400)
    waiting = asyncio.create_task(stand.space.admit(EVENTS))
    await asyncio.sleep(0)
    await stand.with_free(100)
    with pytest.raises(NoSpaceError):
        await waiting


async def test_the_reserve_is_kept_while_it_is_not_needed_and_goes_when_next_to_nothing_is_left(stand: Stand) -> None:
    held = []
    for left in (5000, 200, 59, 250 + 60, 400):
        await stand.with_free(left)
        held.append(stand.disk.holds_ballast)
    assert held == [True, True, False, False, True]


async def test_what_the_disk_does_not_take_closes_the_door_until_the_next_look(stand: Stand) -> None:
    await stand.with_free(5000)
    stand.space.refused(EVENTS, NoSpaceError("database or disk is full"))
    assert (stand.counted.events, stand.space.room, stand.disk.holds_ballast) == (2, Room.FULL, False)
    assert await stand.with_free(5000) is Room.PLENTY
    assert stand.disk.holds_ballast


async def test_a_spool_that_is_only_slow_is_counted_and_closes_nothing(stand: Stand) -> None:
    await stand.with_free(5000)
    stand.space.refused(EVENTS, UnavailableError("the spool is slower than what is recorded"))
    assert (stand.counted.events, stand.space.room, stand.disk.holds_ballast) == (2, Room.PLENTY, True)


async def test_a_disk_that_gives_no_answer_leaves_everything_as_it_was(stand: Stand) -> None:
    await stand.with_free(400)
    stand.disk.error = OSError(EIO, "Input/output error")
    with capture_logs() as logs:
        await stand.space.look()
    assert [entry["event"] for entry in logs] == ["space.unknown"]
    assert stand.space.room is Room.SLOW


async def test_without_room_for_the_reserve_recording_goes_on(stand: Stand) -> None:
    stand.disk.quota_is_used_up = True
    assert await stand.with_free(5000) is Room.PLENTY
    report = stand.space.report()
    assert (report.room, report.free, report.holds_ballast) == (Room.PLENTY, 5000, False)
