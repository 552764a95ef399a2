"""A disk that fills up, as a real file system of a few megabytes: refusals are errors and counted, nothing is lost."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
from contextlib import asynccontextmanager, closing, contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.integration.usage.conftest import eventually

from tapi_agent.adapters.files import FileLosses, StateDisk
from tapi_agent.domain.errors import NoSpaceError
from tapi_agent.domain.loss import LossKind
from tapi_agent.domain.space import Room, SpaceTerms
from tapi_agent.services.losses import Losses
from tapi_agent.services.space import Space
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

KIB: Final = 1024
MIB: Final = 1024 * KIB
TERMS: Final = SpaceTerms(shed=4 * MIB, slow=3 * MIB, least=2 * MIB, ballast=8 * MIB)
NONE: Final = SpaceTerms(shed=3 * MIB, slow=2 * MIB, least=1, ballast=24 * MIB)
"""Only the disk itself says no."""


RESUMES_WITHIN: Final = 5.0


@pytest.fixture
def disk() -> Iterator[Path]:
    """A file system of 48 MiB."""
    place = Path(mkdtemp(prefix="ta-full-", dir="/tmp"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        place.rmdir()
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
    place.rmdir()


@pytest.fixture
def on(disk: Path, build: Callable[..., Any]) -> Callable[..., Any]:
    """``on(terms)`` is a context manager with a rig whose spool is on the disk, and its ``space``."""

    @asynccontextmanager
    async def make(terms: SpaceTerms) -> AsyncIterator[tuple[Any, Space, Losses]]:
        async with build(FakeBilling(), path=disk / "spool" / "usage.db") as rig:
            losses = Losses(ledger=FileLosses(disk / "spool" / "losses"), clock=rig.clock)
            state = StateDisk(disk / "spool" / "ballast", size=terms.ballast)
            space = Space(disk=state, terms=terms, losses=losses, on_relief=rig.delivery.wake)
            rig.metering._admission = space
            rig.delivery.when_cramped(space.relieve)
            await losses.start()
            await space.look()
            yield rig, space, losses

    return make


async def fill(rig: Any, *, count: int = 100) -> int:
    """Record until the disk is full; returns how many events were refused."""
    for _ in range(1000):
        try:
            await rig.record(count, metadata={"filler": "x" * 1000})
        except NoSpaceError:
            return count
    raise AssertionError("the disk is never full")


def eat(disk: Path, *, leave: int, name: str = "recording.mp4") -> Path:
    """Somebody else takes all but ``leave`` bytes."""
    other = disk / name
    free = StateDisk(other, size=0).free()
    with other.open("wb") as file:
        file.write(b"\0" * (free - leave))
    return other


@pytest.mark.parametrize("terms", [TERMS, NONE], ids=["by the budget", "by the disk"])
async def test_refusals_are_errors_and_counted_and_nothing_acknowledged_is_lost(on: Any, terms: SpaceTerms) -> None:
    async with on(terms) as (rig, space, losses):
        looks = asyncio.create_task(_keep_looking(space))
        refused = await fill(rig)
        again = await asyncio.gather(*(rig.metering.record(_event()) for _ in range(5)), return_exceptions=True)
        looks.cancel()
        assert [type(one) for one in again] == [NoSpaceError] * 5
        (loss,) = await losses.report()
        assert (loss.kind, loss.meter, loss.events) == (LossKind.REFUSED, "api_call", refused + 5)
        assert loss.quantity == Decimal(refused + 5)
        assert rig.spool.depth == len(rig.recorded)
        await rig.delivery.drain()
        assert rig.states() == {"pending": len(rig.recorded)}


async def test_a_disk_that_others_fill_to_the_last_byte_can_still_be_drained(on: Any, disk: Path) -> None:
    async with on(NONE) as (rig, space, losses):
        assert space.report().holds_ballast
        await rig.record(3000, metadata={"filler": "x" * 1000})
        eat(disk, leave=0)
        refused = await fill(rig)  # the write-ahead log had some room of its own
        assert not space.report().holds_ballast
        eat(disk, leave=0, name="another.mp4")
        (loss,) = await losses.report()
        assert (loss.kind, loss.events) == (LossKind.REFUSED, refused)
        (disk / "another.mp4").unlink()
        assert await rig.delivery.drain() == len(rig.recorded)
        assert rig.states() == {"pending": len(rig.recorded)}
        (disk / "recording.mp4").unlink()
        await space.look()
        await rig.record(1)


async def test_draining_that_finds_no_room_to_delete_takes_the_reserve(on: Any, disk: Path) -> None:
    async with on(NONE) as (rig, space, _):
        await rig.record(500, metadata={"filler": "x" * 1000})
        with closing(sqlite3.connect(disk / "spool" / "usage.db")) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        eat(disk, leave=0)
        with pytest.raises(NoSpaceError):
            await rig.delivery.drain()
        assert not space.report().holds_ballast
        await rig.delivery.drain()
        assert (rig.spool.depth, rig.states()) == (0, {"pending": 500})


async def test_draining_resumes_by_itself_when_space_returns(on: Any, disk: Path) -> None:
    async with on(NONE) as (rig, space, _):
        await rig.record(500, metadata={"filler": "x" * 1000})
        with closing(sqlite3.connect(disk / "spool" / "usage.db")) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        space.relieve()
        eat(disk, leave=0)
        with pytest.raises(NoSpaceError):
            await rig.delivery.drain()
        assert (rig.spool.depth, rig.states()) == (500, {"pending": 500})  # there, but with no room to delete them here
        going_on = [asyncio.create_task(one) for one in (rig.delivery.run(), _keep_looking(space))]
        (disk / "recording.mp4").unlink()
        await eventually(lambda: rig.spool.depth == 0, within=RESUMES_WITHIN)
        for one in going_on:
            one.cancel()


async def test_what_was_drained_gives_its_space_back_although_the_disk_is_full(on: Any, disk: Path) -> None:
    async with on(NONE) as (rig, space, _):
        await fill(rig)
        await space.look()
        assert space.room is Room.FULL
        await rig.delivery.drain()
        await space.look()
        assert (space.room > Room.FULL, space.report().holds_ballast) == (True, True)
        assert sum(file.stat().st_size for file in (disk / "spool").glob("usage.db*")) < 8 * MIB
        await rig.record(1)


async def test_recording_goes_on_when_space_returns_and_the_ballast_is_held_again(on: Any, disk: Path) -> None:
    async with on(TERMS) as (rig, space, _):
        other = eat(disk, leave=500 * KIB)
        await space.look()
        assert (space.room, space.report().holds_ballast) == (Room.FULL, False)
        with pytest.raises(NoSpaceError):
            await rig.record(1)
        other.unlink()
        await space.look()
        assert space.room is Room.PLENTY
        await rig.record(10)
        await space.look()
        assert space.report().holds_ballast
        await rig.delivery.flush()
        assert rig.states() == {"synced": 10}


async def test_scarce_room_makes_recording_wait_a_moment_and_no_longer(on: Any, disk: Path) -> None:
    async with on(TERMS) as (rig, space, losses):
        eat(disk, leave=int(2.5 * MIB))
        await space.look()
        assert space.room is Room.SLOW
        started = asyncio.get_running_loop().time()
        await rig.record(1)
        assert asyncio.get_running_loop().time() - started >= 0.1
        assert await losses.report() == []


async def test_refusals_that_cannot_be_written_yet_are_written_later(on: Any, disk: Path) -> None:
    async with on(NONE) as (rig, space, losses):
        await rig.record(1)
        place = disk / "spool" / "losses"
        space.relieve()
        place.unlink()
        place.mkdir()
        losses.refused((await _drafted(rig)) * 3)
        await losses.write_down()
        place.rmdir()
        (loss,) = await losses.report()
        assert loss.events == 3


async def test_a_quota_that_is_used_up_counts_as_a_full_disk(build: Any, tmp_path: Path) -> None:
    """A limit on the size of files fails like a quota: SQLite only says that it could not write."""
    async with build(FakeBilling(), path=tmp_path / "usage.db") as rig:
        await rig.record(1)
        with largest_file(512 * KIB):
            await fill(rig)
        await rig.record(1)
        assert rig.spool.depth == len(rig.recorded)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (usual, most))


async def _drafted(rig: Any) -> list[Any]:
    return [rig.metering.preview(_event())]


def _event() -> dict[str, object]:
    return {"event_type": "api_call", "quantity": 1, "metadata": {"filler": "x" * 1000}}


async def _keep_looking(space: Space) -> None:
    while True:
        await space.look()
        await asyncio.sleep(0.001)
