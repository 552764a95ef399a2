"""A spool file that is copied, restored, or of an older format: another stream, and who else has its events."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.integration.usage.conftest import TO_FORMAT_1, make_event

from tapi_agent.adapters.spool.file import SpoolFile
from tapi_agent.adapters.spool.home import Box, Home
from tapi_agent.adapters.spool.rescue import rescue
from tapi_agent.domain.ids import DeviceId
from tapi_agent.domain.tally import add_up, take_away, tally_events
from tapi_agent.failpoints import VARIABLE, Failpoint
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKS: Final = {"board_serial": "a", "mac_0": "b", "machine_id": "c"}
BOX: Final = Box(device_id=DeviceId("device-1"), marks=MARKS)
OTHER: Final = Box(device_id=DeviceId("device-2"), marks=MARKS)
LIFE: Final = """
import json, sys
from pathlib import Path
from tapi_agent.adapters.spool.file import SpoolFile
from tapi_agent.adapters.spool.home import Box
from tapi_agent.testing.clock import START
path, device, marks = sys.argv[1:]
SpoolFile(Path(path), floor=START, box=Box(device_id=device, marks=json.loads(marks))).renew()
"""


@pytest.fixture
def filled(path: Path, events: Any) -> Path:
    """A spool of BOX that has handed over three of its ten events."""
    path.parent.mkdir()
    with closing(SpoolFile(path, floor=START, box=BOX)) as file:
        append(file, events(10))
        file.discard(3, stream=file.stream)
    return path


def append(file: SpoolFile, events: Any) -> None:
    file.append([event.canonical for event in events], totals=tally_events(events))


def identity(path: Path, box: Box = BOX) -> Any:
    with closing(SpoolFile(path, floor=START, box=box)) as file:
        return file.account()


def copy(path: Path) -> Path:
    """As a backup program does; its write-ahead log was written back when it was closed."""
    other = path.with_name("restored.db")
    shutil.copyfile(path, other)
    return other


def test_at_home_a_file_stays_what_it_is(filled: Path) -> None:
    before = identity(filled)
    assert identity(filled) == before
    assert (before.copied_from, before.suspect_seq) == (None, 0)


def test_one_changed_part_is_no_other_machine(filled: Path) -> None:
    before = identity(filled)
    repaired = Box(device_id=BOX.device_id, marks=MARKS | {"mac_0": "new"})
    assert identity(filled, repaired) == before


@pytest.mark.parametrize(
    "box",
    [
        pytest.param(Box(device_id=DeviceId("device-2"), marks=MARKS), id="another device"),
        pytest.param(
            Box(device_id=BOX.device_id, marks={"board_serial": "x", "mac_0": "y", "machine_id": "c"}), id="card"
        ),
    ],
)
def test_in_another_box_it_is_a_copy(filled: Path, box: Box) -> None:
    before = identity(filled)
    with capture_logs() as logs:
        after = identity(filled, box)
    assert after.stream != before.stream
    assert (after.copied_from, after.suspect_seq) == (before.stream, 10)
    assert [(one["event"], one["copied_from"]) for one in logs] == [("spool.copied", str(before.stream))]
    with capture_logs() as logs:
        assert identity(filled, box) == after
    assert logs == []


def test_a_restored_file_is_a_copy_that_accepted_what_waits(filled: Path) -> None:
    before = identity(filled)
    after = identity(copy(filled))
    assert after.stream != before.stream
    assert (after.copied_from, after.suspect_seq, after.drained_seq) == (before.stream, 10, 3)
    assert after.accepted == take_away(before.accepted, before.drained)
    assert after.drained == []
    assert identity(filled) == before


def test_a_file_of_the_first_format_begins_a_new_stream_of_what_waits(filled: Path, events: Any) -> None:
    before = identity(filled)
    with closing(sqlite3.connect(filled)) as connection:
        connection.executescript(TO_FORMAT_1)
    after = identity(filled)
    assert after.stream != before.stream
    assert (after.copied_from, after.drained_seq, after.last_seq) == (None, 3, 10)
    assert after.accepted == tally_events(events(7, start=3))
    assert identity(filled) == after


def live(path: Path, box: Box, *, until: Failpoint) -> None:
    """Open the file and renew it, in a process that dies on its way."""
    life = subprocess.run(
        [sys.executable, "-c", LIFE, path, box.device_id, json.dumps(dict(box.marks))],
        env=os.environ | {VARIABLE: f"{until}=kill"},
        check=False,
    )
    assert life.returncode == -signal.SIGKILL


def assert_waiting(path: Path, box: Box, kept: Any) -> Any:
    """These wait, and the sums are theirs alone; returns the account."""
    with closing(SpoolFile(path, floor=START, box=box)) as file:
        assert [one.canonical for one in file.head(100)] == [one.canonical for one in kept]
        account = file.account()
    assert take_away(account.accepted, account.drained) == tally_events(kept)
    return account


@pytest.mark.parametrize("point", [Failpoint.SPOOL_UPGRADE_WRITTEN, Failpoint.SPOOL_UPGRADE_COMMITTED])
def test_an_upgrade_that_is_killed_is_done_again_or_done(filled: Path, events: Any, point: Failpoint) -> None:
    before = identity(filled)
    with closing(sqlite3.connect(filled)) as connection:
        connection.executescript(TO_FORMAT_1)
    live(filled, BOX, until=point)
    after = assert_waiting(filled, BOX, events(7, start=3))
    assert after.stream != before.stream
    assert (after.accepted, after.drained) == (tally_events(events(7, start=3)), [])
    assert (after.copied_from, after.suspect_seq) == (None, 0)


@pytest.mark.parametrize("point", [Failpoint.SPOOL_COPY_WRITTEN, Failpoint.SPOOL_COPY_COMMITTED])
def test_a_copy_that_is_killed_while_it_finds_out_is_one_all_the_same(
    filled: Path, events: Any, point: Failpoint
) -> None:
    before = identity(filled)
    live(filled, OTHER, until=point)
    after = assert_waiting(filled, OTHER, events(7, start=3))
    assert after.stream != before.stream
    assert (after.copied_from, after.suspect_seq) == (before.stream, 10)


@pytest.mark.parametrize("point", [Failpoint.SPOOL_RENEW_WRITTEN, Failpoint.SPOOL_RENEW_COMMITTED])
def test_a_stream_that_is_renewed_under_a_kill_is_the_old_or_the_new_one(
    filled: Path, events: Any, point: Failpoint
) -> None:
    before = identity(filled)
    live(filled, BOX, until=point)
    after = assert_waiting(filled, BOX, events(7, start=3))
    assert (after == before) is (point is Failpoint.SPOOL_RENEW_WRITTEN)
    assert (after.stream == before.stream) is (after == before)


@pytest.mark.parametrize("box", [pytest.param(OTHER, id="found with the damage"), pytest.param(BOX, id="known before")])
def test_a_copy_that_is_damaged_as_well_stays_one(filled: Path, box: Box) -> None:
    """Otherwise what both have would be billed twice by a service that does not dedupe."""
    original = identity(filled).stream
    path = filled if box is OTHER else copy(filled)
    if path != filled:
        assert identity(path).copied_from == original
    rescued = rescue(path, floor=START, box=box, tell=lambda _: None)
    after = identity(path, box)
    assert (rescued.saved, after.last_seq) == (7, 7)
    assert (after.copied_from, after.suspect_seq) == (original, 7)


def test_a_copy_whose_suspects_are_all_handed_over_is_rescued_as_any_other(filled: Path) -> None:
    path = copy(filled)
    with closing(SpoolFile(path, floor=START, box=BOX)) as file:
        file.discard(10, stream=file.stream)
    rescue(path, floor=START, box=BOX, tell=lambda _: None)
    after = identity(path)
    assert (after.copied_from, after.suspect_seq) == (None, 0)


def test_home_is_a_box_and_a_place() -> None:
    home = Home(box=BOX, inode=7)
    assert home.is_that_of(home.text())
    assert not Home(box=BOX, inode=8).is_that_of(home.text())
    assert Home(box=Box(device_id=BOX.device_id), inode=7).is_that_of(
        Home(box=Box(device_id=BOX.device_id), inode=7).text()
    )


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return (tmp_path_factory.mktemp("sums") / "spool.db" for _ in iter(int, 1))  # type: ignore[return-value]


@settings(deadline=None)  # it is the disk that takes its time
@given(story=st.lists(st.tuples(st.sampled_from(["append", "discard", "reopen"]), st.integers(1, 5)), max_size=12))
def test_sums_are_always_those_of_the_events(places: Any, story: list[tuple[str, int]]) -> None:
    path, kept, drained = next(places), [], 0
    file = SpoolFile(path, floor=START, box=BOX)
    for what, size in story:
        match what:
            case "append":
                fields = {"quantity": f"0.{size}", "billable": size % 2 == 0}
                new = [make_event(len(kept) + n, **fields) for n in range(size)]
                append(file, new)
                kept += new
            case "discard":
                drained = min(drained + size, len(kept))
                file.discard(drained, stream=file.stream)
            case _:
                file.close()
                file = SpoolFile(path, floor=START, box=BOX)
    account = file.account()
    waiting = file.waiting(after=0)
    beyond = file.waiting(after=drained + 1)
    file.close()
    assert account.accepted == tally_events(kept)
    assert account.drained == tally_events(kept[:drained])
    assert waiting == tally_events(kept[drained:])
    assert beyond == tally_events(kept[drained + 1 :])


@pytest.mark.parametrize("classic", [True, False], ids=["classic", "dedupes"])
async def test_what_a_copied_box_and_its_original_both_have_is_billed_once(agent, service, path, classic: bool) -> None:  # noqa: FBT001
    if classic:
        await service.faults({"action": "classic_only", "path": "*"})
    async with agent(path=path) as original:
        await original.record(30)
        await original.delivery.flush()
        await original.record(20)
    shutil.copytree(path.parent, path.parent.with_name("copied"))
    async with agent(path=path) as original:
        await original.delivery.flush()
    original.execute("TRUNCATE usage_events, usage_batches, usage_totals, usage_arrivals, agent_streams CASCADE")
    async with agent(path=path.parent.with_name("copied") / path.name) as other:
        await other.record(5)
        await other.until(lambda: set(other.states()) == {"synced"} and other.states()["synced"] == 25)
        totals = add_up((await other.spool.account()).accepted)
        assert sum(total.events for total in totals) == 25
        times = await service.times()
        assert times == Counter([*times.keys()])
        assert len(times) == 55
