"""The power fails while usage is recorded: what was acknowledged is there when it comes back."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from subprocess import DEVNULL, Popen
from typing import TYPE_CHECKING, Final

import pytest
from tests.power.conftest import ROOT
from tests.power.medium import Cut
from tests.power.recorder import BOX, FLOOR

from tapi_agent.adapters.spool import SqliteSpool
from tapi_agent.domain.canonical import event_id_of
from tapi_agent.domain.tally import tally
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.power.conftest import Disk

pytestmark = pytest.mark.slow

EVERYTHING: Final = 1_000_000
WITHOUT_A_CHECKPOINT: Final = 1500
"""Operations, of which none writes the log back to the file."""


@dataclass(kw_only=True)
class Oracle:
    """What the recorder said, on another disk."""

    said: Path
    acknowledged: set[str] = field(default_factory=set)
    handed_over: set[str] = field(default_factory=set)

    def hear(self) -> int:
        """Take down what a recorder has said up to its end; returns how many events it has acknowledged."""
        before = len(self.acknowledged)
        for line in self.said.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # the kill may have cut the last one
                {"+": self.acknowledged, "-": self.handed_over}[line[0]].add(line[1:].rstrip())
        return len(self.acknowledged) - before


@pytest.fixture
def oracle(tmp_path: Path) -> Oracle:
    return Oracle(said=tmp_path / "said")


def record_until_the_power_fails(disk: Disk, oracle: Oracle, *, synchronous: str = "FULL") -> None:
    """On a disk that will fail; the machine is dead with it, and the disk unplugged."""
    command = [sys.executable, "-m", "tests.power.recorder", disk.place / "spool.db", synchronous, oracle.said]
    with Popen(command, cwd=ROOT, stdout=DEVNULL, stderr=DEVNULL) as recorder:
        try:
            wait_until(disk.has_failed, within=60, what="a power failure")
        finally:
            recorder.kill()
    disk.unplug()


@asynccontextmanager
async def opened(disk: Disk) -> AsyncIterator[SqliteSpool]:
    """The spool, on a disk that is plugged in for as long."""
    disk.plug()
    spool = SqliteSpool(disk.place / "spool.db", floor=FLOOR, box=BOX)
    try:
        await spool.open()
        yield spool
    finally:
        await spool.close()
        disk.unplug()


async def lost(spool: SqliteSpool, oracle: Oracle) -> set[str]:
    """Events that were acknowledged, and that neither the spool nor the database has."""
    head = await spool.head(EVERYTHING)
    return oracle.acknowledged - oracle.handed_over - {str(event_id_of(event.canonical)) for event in head}


@pytest.mark.parametrize("cut", [Cut.FORGET, Cut.IN_ORDER, Cut.ANY])
@pytest.mark.parametrize(
    "times", [4, pytest.param(100, marks=[pytest.mark.torture, pytest.mark.timeout(3600)], id="many")]
)
async def test_acknowledged_events_outlive_power_cuts(disk: Disk, oracle: Oracle, cut: Cut, times: int) -> None:
    streams, random = set(), Random(f"{cut} {times}")  # noqa: S311 - a cut must repeat
    for _ in range(times):
        disk.plug(fails_at=random.randint(500, 9000), cut=cut, seed=random.getrandbits(32))
        record_until_the_power_fails(disk, oracle)
        assert oracle.hear() > 0
        async with opened(disk) as spool:
            assert await lost(spool, oracle) == set()
            await is_consistent(spool)
            streams.add(spool.stream)
    assert len(streams) == 1


async def is_consistent(spool: SqliteSpool) -> None:
    """No seq is missing, the sums are those of what waits, and no file had to be set aside."""
    head = await spool.head(EVERYTHING)
    account = await spool.account()
    assert [event.seq for event in head] == list(range(account.drained_seq + 1, account.last_seq + 1))
    assert await spool.totals(after=account.drained_seq) == tally(event.canonical for event in head)
    assert account.copied_from is None
    assert not list(spool._place.path.parent.glob("*damaged*"))


async def test_without_a_sync_at_each_commit_acknowledged_events_are_lost(disk: Disk, oracle: Oracle) -> None:
    disk.plug(fails_at=WITHOUT_A_CHECKPOINT)
    record_until_the_power_fails(disk, oracle, synchronous="NORMAL")
    assert oracle.hear() > 0
    async with opened(disk) as spool:
        assert await lost(spool, oracle)
