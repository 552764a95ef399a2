from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tapi_agent.adapters.spool import SqliteSpool
from tapi_agent.domain.errors import ConfigurationError, NoSpaceError, UnavailableError
from tapi_agent.domain.tally import tally
from tapi_agent.testing.clock import START
from tapi_agent.testing.wait import wait_until

RECORDER = Path(__file__).with_name("recorder.py")


async def test_what_is_appended_comes_out_in_order(opened, events) -> None:
    async with opened() as spool:
        first, second = events(3), events(2, start=3)
        assert list(await spool.append(first)) == [1, 2, 3]
        assert list(await spool.append(second)) == [4, 5]
        head = await spool.head(4)
        assert [(one.stream, one.seq, one.canonical) for one in head] == [
            (spool.stream, seq, one.canonical) for seq, one in enumerate([*first, *second][:4], 1)
        ]
        assert spool.depth == 5


async def test_discarded_events_are_gone_and_their_seqs_are_never_given_again(opened, events) -> None:
    async with opened() as spool:
        await spool.append(events(3))
        await spool.discard(2, stream=spool.stream)
        assert [one.seq for one in await spool.head(10)] == [3]
        await spool.discard(3, stream=spool.stream)
        assert (spool.depth, spool.drained_seq, list(await spool.head(10))) == (0, 3, [])
    async with opened() as spool:
        assert (spool.depth, spool.drained_seq) == (0, 3)
        assert list(await spool.append(events(1))) == [4]


async def test_a_reopened_spool_goes_on_where_it_was(opened, event, events) -> None:
    async with opened() as spool:
        stream = spool.stream
        await spool.append(events(5))
        await spool.discard(1, stream=spool.stream)
    async with opened() as spool:
        assert (spool.stream, spool.depth, spool.drained_seq) == (stream, 4, 1)
        assert spool.newest == event(4).recorded_at
        assert spool.dedupe_floor == START - timedelta(days=400)
        assert await texts(spool) == [one.canonical for one in events(4, start=1)]


async def test_a_commit_whose_callers_another_has_served_says_nothing(opened, events) -> None:
    async with opened() as spool:
        await spool.append(events(1))
        with capture_logs() as logs:
            await asyncio.wrap_future(spool._writer.submit(spool._commit, asyncio.get_running_loop()))
        assert logs == []


async def test_the_newest_time_is_remembered_when_nothing_waits(opened, event, events) -> None:
    async with opened() as spool:
        assert spool.newest is None
        await spool.append(events(5))
        keyed = event(9, dedupe_key="k", event_time=START + timedelta(hours=20))
        await spool.append([keyed])
        await spool.discard(6, stream=spool.stream)
    async with opened() as spool:
        assert spool.newest == event(4).recorded_at


async def test_many_callers_share_commits_and_each_gets_its_own_seqs(opened, events) -> None:
    async with opened() as spool:
        batches = [events(1 + number % 3, start=number * 3) for number in range(400)]
        seqs = await asyncio.gather(*(spool.append(batch) for batch in batches))
        assert sorted(seq for found in seqs for seq in found) == list(range(1, sum(map(len, batches)) + 1))
        by_seq = {one.seq: one.canonical for one in await spool.head(10_000)}
        for batch, found in zip(batches, seqs, strict=True):
            assert [by_seq[seq] for seq in found] == [one.canonical for one in batch]


async def test_a_canceled_caller_harms_nobody(opened, events) -> None:
    async with opened() as spool:
        waiting = [asyncio.ensure_future(spool.append(events(1, start=number))) for number in range(10)]
        await asyncio.sleep(0)
        waiting[3].cancel()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome).__name__ for outcome in outcomes].count("CancelledError") == 1
        assert sorted(seq for outcome in outcomes if isinstance(outcome, range) for seq in outcome) == [
            seq for seq in range(1, 11) if seq != 4
        ]


async def test_what_is_queued_when_it_closes_is_written(opened, events) -> None:
    async with opened() as spool:
        waiting = [asyncio.ensure_future(spool.append(events(600, start=600 * number))) for number in range(4)]
        await asyncio.sleep(0)
    assert [len(seqs) for seqs in await asyncio.gather(*waiting)] == [600] * 4
    async with opened() as spool:
        assert spool.depth == 2400


async def test_whoever_waits_for_events_is_told(opened, events) -> None:
    async with opened() as spool:
        waiting = asyncio.ensure_future(spool.filled())
        await asyncio.sleep(0)
        assert not waiting.done()
        await spool.append(events(1))
        await asyncio.wait_for(waiting, 5)
        await spool.discard(1, stream=spool.stream)
        assert not asyncio.ensure_future(spool.filled()).done()
    async with opened() as spool:
        await spool.append(events(1))
    async with opened() as spool:
        await asyncio.wait_for(spool.filled(), 5)


async def test_what_waits_adds_up(opened, event) -> None:
    async with opened() as spool:
        await spool.append([event(1), event(2), event(3, billable=False)])
        (total,) = await spool.totals(after=1)
        assert (total.events, total.quantity, total.local_events) == (1, 1, 1)


async def test_only_its_owner_may_read_it(path: Path, opened, events) -> None:
    async with opened() as spool:
        await spool.append(events(1))
        assert {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == dict.fromkeys(
            ["spool.db", "spool.db-wal", "spool.db-shm", "spool.db.lock"], 0o600
        )
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_it_is_written_the_durable_way(opened) -> None:
    async with opened() as spool:
        pragmas = ["journal_mode", "synchronous", "auto_vacuum"]
        file = spool._place.file
        assert file is not None
        found = [file._writer.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
        assert found == ["wal", 2, 2]


async def test_a_second_agent_is_refused(path: Path, opened, events) -> None:
    async with opened():
        other = SqliteSpool(path, floor=START)
        with pytest.raises(ConfigurationError, match="another agent"):
            await other.open()
        await other.close()
    async with opened() as spool:
        assert list(await spool.append(events(1))) == [1]


async def test_a_spool_of_a_later_version_is_refused(path: Path, opened) -> None:
    async with opened():
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 3")
    connection.close()
    with pytest.raises(ConfigurationError, match="format 3"):
        async with opened():
            pass


async def test_without_a_place_it_starts_refuses_and_heals(path: Path, opened, events) -> None:
    path.parent.write_text("a file where the directory should be")
    async with opened() as spool:
        assert (spool.depth, spool.drained_seq, spool.stream, spool.newest) == (0, 0, None, None)
        assert spool.dedupe_floor == START - timedelta(days=400)
        for call in (spool.append(events(1)), spool.head(1), spool.totals(after=0)):
            with pytest.raises(UnavailableError) as caught:
                await call
            assert caught.value.fix
        path.parent.unlink()
        assert list(await spool.append(events(1))) == [1]


async def test_a_full_disk_refuses_what_it_cannot_keep_and_recovers(opened, events) -> None:
    async with opened() as spool:
        kept = events(200, size=100)
        await spool.append(kept)
        file = spool._place.file
        assert file is not None
        pages = file._writer.execute("PRAGMA page_count").fetchone()[0]
        file._writer.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        outcomes = await asyncio.gather(
            *(spool.append(events(50, start=1000, size=1000)) for _ in range(4)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [NoSpaceError] * 4
        assert "full" in str(outcomes[0])
        assert (spool.depth, await texts(spool)) == (200, [one.canonical for one in kept])
        await spool.discard(100, stream=spool.stream)
        file._writer.execute("PRAGMA max_page_count = 1073741823").fetchall()
        assert list(await spool.append(events(1))) == [201]


async def test_more_callers_than_a_hung_disk_could_ever_serve_are_turned_away(opened, events) -> None:
    async with opened() as spool:
        flood_of = events(1)
        hung = threading.Event()
        spool._writer.submit(hung.wait, 60)
        flood = [asyncio.ensure_future(spool.append(flood_of)) for _ in range(20_100)]
        done, waiting = await asyncio.wait(flood, return_when=asyncio.FIRST_EXCEPTION)
        assert len(done) == 100
        assert {type(one.exception()) for one in done} == {UnavailableError}
        hung.set()
        await asyncio.gather(*waiting)
        assert spool.depth == 20_000


async def test_space_goes_back_to_the_disk_when_a_backlog_is_gone(opened, events) -> None:
    async with opened() as spool:
        for start in range(0, 5000, 500):
            await spool.append(events(500, start=start, size=3000))
        await spool.discard(5000, stream=spool.stream)
        assert spool._place.file is not None
        (pages,) = spool._place.file._writer.execute("PRAGMA page_count").fetchone()
        assert pages < 1100


async def test_kill_9_while_recording_loses_nothing_that_was_acknowledged(
    path: Path, tmp_path: Path, opened, events
) -> None:
    whole = await asyncio.to_thread(record_until_killed, path, tmp_path / "acknowledged")
    async with opened() as spool:
        kept = {one.canonical[one.canonical.rindex('"event_id":"') + 12 :][:36] for one in await spool.head(10_000_000)}
        assert len(whole) > 2000
        assert set(whole) <= kept
        assert (await spool.account()).accepted == tally(await texts(spool))
        assert list(await spool.append(events(1))) == [spool.depth]


def record_until_killed(path: Path, acknowledged: Path) -> list[str]:
    """The ids that a process had acknowledged when it was killed."""
    with acknowledged.open("wb") as oracle:
        recorder = subprocess.Popen([sys.executable, str(RECORDER), str(path)], stdout=oracle)
    try:
        wait_until(lambda: acknowledged.stat().st_size > 100_000, within=60, what="a few thousand acks")
    finally:
        os.kill(recorder.pid, signal.SIGKILL)
        recorder.wait()
    return acknowledged.read_text().splitlines()[:-1]  # the kill may have cut the last line


async def texts(spool: SqliteSpool) -> list[str]:
    return [one.canonical for one in await spool.head(10_000_000)]
