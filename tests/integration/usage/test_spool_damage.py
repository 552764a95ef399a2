"""A damaged spool: the agent starts, what is readable goes on, the file stays as evidence."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from tapi_agent.adapters.spool.home import Box
from tapi_agent.adapters.spool.rescue import rescue
from tapi_agent.domain.ids import DeviceId
from tapi_agent.domain.tally import tally_events
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from tapi_agent.adapters.spool import SqliteSpool
    from tapi_agent.domain.usage import UsageEvent, UsageTotal


DEVICE = DeviceId("device-1")
PAGE = 4096


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A closed spool of ``events``, in one file, with free pages in it; ``old`` is too far back to be read at once."""

    events: list[UsageEvent]
    old: UsageEvent
    stream: UUID


@pytest.fixture
async def filled(opened: Any, events: Any) -> Filled:
    kept = events(1600, size=1000)
    async with opened() as spool:
        await spool.append(kept)
        await spool.discard(100, stream=spool.stream)
        return Filled(events=kept[100:], old=kept[200], stream=spool.stream)


def evidence(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.glob("spool.db.damaged-?"))


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def flip(path: Path, event: UsageEvent) -> None:
    """Alter the event's text where the file holds it."""
    content = path.read_bytes()
    text = str(event.event_id).encode()
    assert content.count(text) == 1
    path.write_bytes(content.replace(text, text.replace(b"-", b"_")))


def destroy_page(path: Path, number: int) -> None:
    content = bytearray(path.read_bytes())
    content[(number - 1) * PAGE : number * PAGE] = b"\xff" * PAGE
    path.write_bytes(content)


async def test_a_file_that_is_no_database_is_set_aside(path: Path, opened, events) -> None:
    write(path, b"no database" * 1000)
    async with opened() as spool:
        assert evidence(path) == ["spool.db.damaged-1"]
        assert list(await spool.append(events(1))) == [1]
    write(path, b"once more" * 1000)
    async with opened():
        assert evidence(path) == ["spool.db.damaged-1", "spool.db.damaged-2"]


async def test_a_flipped_bit_costs_one_event(path: Path, filled: Filled, opened) -> None:
    flip(path, filled.old)
    async with opened() as spool:
        assert spool.stream == filled.stream
        assert sorted(await texts(spool)) == sorted(one.canonical for one in filled.events if one != filled.old)
        assert spool.stream != filled.stream
        assert [one.seq for one in await spool.head(10_000)] == list(range(1, 1500))
        assert evidence(path) == ["spool.db.damaged-1"]
        assert (path.parent / "spool.db.damaged-1").stat().st_mode & 0o777 == 0o600


async def test_damage_among_the_latest_shows_at_once(path: Path, filled: Filled, opened) -> None:
    flip(path, filled.events[-1])
    async with opened() as spool:
        assert spool.depth == 1499
        assert evidence(path) == ["spool.db.damaged-1"]


async def test_a_destroyed_page_costs_what_was_on_it(path: Path, filled: Filled, opened, events) -> None:
    destroy_page(path, path.read_bytes().index(str(filled.old.event_id).encode()) // PAGE + 1)  # noqa: ASYNC240 - nothing else runs here
    async with opened() as spool:
        survivors = set(await texts(spool))
        lost = {one.canonical for one in filled.events} - survivors
        assert survivors <= {one.canonical for one in filled.events}
        assert 1 <= len(lost) < 10
        assert list(await spool.append(events(1))) == [spool.depth]


async def test_sums_are_of_what_is_left_once_the_damage_was_found(path: Path, filled: Filled, opened) -> None:
    flip(path, filled.old)
    async with opened() as spool:
        await texts(spool)
        (total,) = await spool.totals(after=0)
        assert total.events == len(filled.events) - 1
        assert (await spool.account()).accepted == [total]


async def test_what_was_lost_is_told_by_meter_and_exactly(path: Path, filled: Filled, opened) -> None:
    told: list[UsageTotal] = []
    flip(path, filled.old)
    async with opened() as spool:
        spool.on_damage(told.extend)
        await texts(spool)
        assert told == tally_events([filled.old])


def test_a_loss_is_told_before_a_kill_can_hush_it_up(path: Path, filled: Filled) -> None:
    flip(path, filled.old)
    before = path.read_bytes()

    def die(lost: Sequence[UsageTotal]) -> None:
        raise InterruptedError(sum(total.events for total in lost))

    with pytest.raises(InterruptedError, match=r"^1$"):
        rescue(path, floor=filled.old.event_time, box=Box(device_id=DEVICE), tell=die)
    assert (path.read_bytes(), evidence(path)) == (before, [])


async def test_of_a_file_without_readable_sums_nobody_can_say_what_was_in_it(path: Path, opened) -> None:
    told: list[UsageTotal] = []
    write(path, b"no database" * 1000)
    async with opened() as spool:
        spool.on_damage(told.extend)
        assert (spool.depth, told) == (0, [])


ALTERED: Final = {
    "home": "UPDATE spool SET home = '[' || home",
    "home, no text": "UPDATE spool SET home = CAST(x'ff' || CAST(home AS BLOB) AS TEXT)",
    "floor": "UPDATE spool SET dedupe_floor = 'x' || dedupe_floor",
    "stream": "UPDATE spool SET stream = x'00'",
    "original": "UPDATE spool SET copied_from = x'00'",
    "quantity": "UPDATE sums SET quantity = 'x' || quantity",
    "quantity, no amount": "UPDATE sums SET local_quantity = 'NaN'",
    "day": "UPDATE sums SET day = 'x' || day",
    "sequence": "DELETE FROM sqlite_sequence",
    "drained too little": "UPDATE spool SET drained_seq = 10000",
    "drained too much": "UPDATE spool SET drained_seq = 101",
}


@pytest.mark.parametrize("altered", ALTERED.values(), ids=ALTERED)
async def test_altered_state_or_sums_cost_no_event_and_stop_no_agent(
    path: Path, filled: Filled, opened, events, altered: str
) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(altered).rowcount
    async with opened() as spool:
        account = await spool.account()
        assert evidence(path) == ["spool.db.damaged-1"]
        assert account.accepted == await spool.totals(after=0) == tally_events(filled.events)
        assert list(await spool.append(events(1, start=5000))) == [1501]
        assert await texts(spool) == [one.canonical for one in [*filled.events, *events(1, start=5000)]]


async def test_sums_that_cannot_be_added_to_are_found_while_writing(
    path: Path, filled: Filled, opened, event, events
) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE sums SET quantity = 'x'")
    async with opened() as spool:
        assert list(await spool.append([event(5000)])) == [1501]
        assert (await spool.account()).accepted == tally_events([*filled.events, event(5000)])


async def test_damage_in_the_middle_of_a_backlog_costs_only_what_was_hit(path: Path, build, event, events) -> None:
    """The new file gives its seqs anew while the drainer still has those of the damaged one in its hands."""
    async with build(FakeBilling(), path=path) as rig:
        await rig.spool.append(events(1500))
        await rig.delivery.drain()
        await rig.spool.append(events(5000, start=1500))
    flip(path, event(3200))
    async with build(FakeBilling(), path=path) as rig:
        await rig.delivery.drain()
        await rig.delivery.drain()
        assert evidence(path) == ["spool.db.damaged-1"]
        assert (rig.spool.depth, rig.states()) == (0, {"pending": 6499})


async def test_damage_that_shows_while_writing_loses_nothing(path: Path, filled: Filled, opened, events) -> None:
    first_free_page = int.from_bytes(path.read_bytes()[32:36])  # noqa: ASYNC240 - nothing else runs here
    destroy_page(path, first_free_page)
    async with opened() as spool:
        extra = events(500, start=5000)
        assert list(await spool.append(extra)) == list(range(1501, 2001))
        assert sorted(await texts(spool)) == sorted(one.canonical for one in [*filled.events, *extra])
        assert evidence(path) == ["spool.db.damaged-1"]


async def test_two_who_find_the_damage_at_once_set_one_file_aside(path: Path, filled: Filled, opened) -> None:
    flip(path, filled.old)
    async with opened() as spool:
        one, other = await asyncio.gather(spool.head(10_000), spool.head(2000))
        assert [len(one), len(other)] == [1499, 1499]
        assert evidence(path) == ["spool.db.damaged-1"]


async def test_seqs_of_the_damaged_file_discard_nothing_of_the_new_one(path: Path, filled: Filled, opened) -> None:
    flip(path, filled.old)
    async with opened() as spool:
        drained = await spool.head(50)
        assert drained[-1].stream == filled.stream
        await texts(spool)
        await spool.discard(drained[-1].seq, stream=drained[-1].stream)
        assert (spool.depth, spool.drained_seq) == (1499, 0)


async def test_a_rescue_that_was_killed_before_the_change_is_done_again(path: Path, filled: Filled, opened) -> None:
    write(path.parent / "spool.db.fresh", b"half done")
    async with opened() as spool:
        assert await texts(spool) == [one.canonical for one in filled.events]
    assert not list(path.parent.glob("*fresh*"))


async def test_a_rescue_that_was_killed_in_the_change_is_completed(path: Path, filled: Filled, opened) -> None:
    path.rename(path.parent / "spool.db.fresh")  # noqa: ASYNC240 - nothing else runs here
    async with opened() as spool:
        assert await texts(spool) == [one.canonical for one in filled.events]
    assert not list(path.parent.glob("*fresh*"))


async def test_what_is_in_the_write_ahead_log_is_saved_as_well(path: Path, tmp_path: Path, opened, events) -> None:
    async with opened() as spool:
        kept = events(5)
        await spool.append(kept)
        copy = tmp_path / "copy" / "spool.db"
        copy.parent.mkdir()
        for companion in ("", "-wal"):
            source = path.with_name(path.name + companion)
            copy.with_name(copy.name + companion).write_bytes(source.read_bytes())
    rescued = rescue(copy, floor=kept[0].event_time, box=Box(device_id=DEVICE), tell=lambda _: None)
    assert rescued.saved == 5
    assert rescued.evidence.with_name(rescued.evidence.name + "-wal").exists()


async def texts(spool: SqliteSpool) -> list[str]:
    return [one.canonical for one in await spool.head(100_000)]
