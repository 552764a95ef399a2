"""From the spool into the database: counted once, whatever happens in between."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.postgres.usage import PostgresLedger
from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.domain.ids import DeviceId, StreamId
from tapi_agent.domain.usage import SpooledEvent
from tapi_agent.ports.usage import Kept
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tapi_agent.domain.usage import UsageEvent

STREAM = StreamId(UUID(int=77))
DAY = timedelta(days=1)


def spooled(*found: UsageEvent, start: int = 1, stream: StreamId = STREAM) -> list[SpooledEvent]:
    return [SpooledEvent(stream=stream, seq=seq, canonical=one.canonical) for seq, one in enumerate(found, start)]


@pytest.fixture
async def rig(build) -> AsyncIterator[Any]:
    async with build(FakeBilling()) as made:
        yield made


@pytest.mark.parametrize("resource_id", ['r"\\\u2028é', "r\u2028é"], ids=["inserted", "copied"])
async def test_columns_say_what_the_text_says(rig, event, resource_id: str) -> None:
    one = event(
        1,
        quantity="-0.000000001",
        corrects="019ca6b1-dc00-7cae-9897-0729ce53f09b",
        camera_id="cam",
        resource_id=resource_id,
        resource_type="model",
        metadata={"tab": "\t", "back": "\\N \\."},
        event_time="2027-03-01T23:30:00.123456+10:00",
    )
    assert await rig.stores.ledger.keep(spooled(one)) == Kept(new=1)
    (row,) = rig.query("SELECT * FROM usage_events")
    assert row == {
        "event_id": one.event_id,
        "recorded_at": one.recorded_at,
        "stream": STREAM,
        "seq": 1,
        "tenant_id": one.tenant_id,
        "device_id": one.device_id,
        "camera_id": "cam",
        "event_type": "api_call",
        "resource_id": resource_id,
        "resource_type": "model",
        "quantity": Decimal("-0.000000001"),
        "unit": "calls",
        "billable": True,
        "event_time": one.event_time,
        "corrects": one.corrects,
        "canonical": one.canonical,
        "state": "pending",
        "batch_id": None,
    }


async def test_totals_are_by_tenant_meter_and_utc_day_of_event_time(rig, event) -> None:
    late = "2027-03-01T23:30:00-01:00"
    found = [
        event(1, quantity="0.1"),
        event(2, quantity="0.2"),
        event(3, quantity="999999999999999999.999999999"),
        event(4, billable=False, quantity=7),
        event(5, event_time=late),
        event(6, tenant_id="other"),
        event(7, event_type="llm_tokens"),
    ]
    assert await rig.stores.ledger.keep(spooled(*found)) == Kept(new=7)
    summary = await rig.metering.summary()
    assert [
        (t.tenant_id, t.meter, t.day.day, t.events, t.quantity, t.local_events, t.local_quantity) for t in summary.rows
    ] == [
        ("other", "api_call", 1, 1, Decimal(1), 0, Decimal(0)),
        ("tenant-1", "api_call", 1, 3, Decimal("1000000000000000000.299999999"), 1, Decimal(7)),
        ("tenant-1", "api_call", 2, 1, Decimal(1), 0, Decimal(0)),
        ("tenant-1", "llm_tokens", 1, 1, Decimal(1), 0, Decimal(0)),
    ]
    assert rig.states() == {"pending": 6, "local": 1}


async def test_copied_or_inserted_is_all_the_same(rig, event) -> None:
    """An event whose name needs an escape makes the database read all of its batch."""
    found = [
        event(1, quantity="0.1", metadata={"path": 'C:\\new\t"x"'}),
        event(2, billable=False, camera_id="cam-ä", resource_type="model"),
        event(
            3, event_type="llm_tokens", quantity="-2", corrects=str(UUID(int=5)), event_time=START - timedelta(days=1)
        ),
    ]

    async def kept(*events: UsageEvent) -> object:
        await rig.stores.ledger.keep(spooled(*events))
        told = rig.query("SELECT * FROM usage_events WHERE tenant_id <> 'odd' ORDER BY seq")
        totals = rig.query("SELECT * FROM usage_totals WHERE tenant_id <> 'odd' ORDER BY meter, day")
        arrivals = rig.query("SELECT * FROM usage_arrivals WHERE tenant_id <> 'odd' ORDER BY meter, day")
        rig.execute("TRUNCATE usage_events, usage_arrivals, usage_totals, agent_streams")
        return told, totals, arrivals

    assert await kept(*found) == await kept(*found, event(9, tenant_id="odd", resource_id='"'))


async def test_draining_the_same_again_changes_nothing(rig, events) -> None:
    found = spooled(*events(10))
    assert await rig.stores.ledger.keep(found[:6]) == Kept(new=6)
    assert await rig.stores.ledger.keep(found) == Kept(new=4)
    assert await rig.stores.ledger.keep(found) == Kept()
    assert [total.events for total in (await rig.metering.summary()).rows] == [10]
    assert rig.query("SELECT count(*) AS n FROM usage_duplicates")[0]["n"] == 0


async def test_a_repeat_is_counted_once_and_noted(rig, event) -> None:
    keyed = {"dedupe_key": "k", "event_time": START}
    one, again = event(1, **keyed), event(2, **keyed | {"metadata": {"n": 1, "filler": ""}})
    assert one == again
    assert await rig.stores.ledger.keep(spooled(one, again)) == Kept(new=1, duplicates=1)
    assert await rig.stores.ledger.keep(spooled(again, start=3)) == Kept(duplicates=1)
    assert await rig.stores.ledger.keep(spooled(again, start=3)) == Kept()
    assert [row["seq"] for row in rig.query("SELECT seq FROM usage_duplicates ORDER BY seq")] == [2, 3]
    assert [total.events for total in (await rig.metering.summary()).rows] == [1]


async def test_the_same_key_with_another_body_dies_and_the_first_one_stands(rig, event) -> None:
    keyed = {"dedupe_key": "k", "event_time": START}
    one, other = event(1, quantity=1, **keyed), event(1, quantity=2, **keyed)
    assert await rig.stores.ledger.keep(spooled(one, other)) == Kept(new=1, conflicts=1)
    assert await rig.stores.ledger.keep(spooled(one, other)) == Kept()
    (letter,) = rig.query("SELECT * FROM usage_dead_letters")
    assert (letter["code"], letter["seq"], letter["event_id"]) == ("IDEMPOTENCY_CONFLICT", 2, one.event_id)
    assert bytes(letter["event"]).decode() == other.canonical
    assert [total.quantity for total in (await rig.metering.summary()).rows] == [1]


async def test_a_repeat_through_another_stream_is_a_repeat(rig, event) -> None:
    await rig.stores.ledger.keep(spooled(event(1)))
    assert await rig.stores.ledger.keep(spooled(event(1), stream=StreamId(UUID(int=78)))) == Kept(duplicates=1)
    streams = rig.query("SELECT stream, device_id, drained_seq FROM agent_streams ORDER BY stream")
    assert streams == [
        {"stream": UUID(int=77), "device_id": "device-1", "drained_seq": 1},
        {"stream": UUID(int=78), "device_id": "device-1", "drained_seq": 1},
    ]


async def test_months_are_made_as_they_are_needed(rig, event) -> None:
    found = [
        event(1),
        event(2, dedupe_key="a", event_time=START - timedelta(days=300)),
        event(3, dedupe_key="b", event_time=START - timedelta(days=60)),
    ]
    assert await rig.stores.ledger.keep(spooled(*found)) == Kept(new=3)
    months = rig.query(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'usage_events'::regclass"
    )
    assert {row["name"] for row in months} == {"usage_events_2026_05", "usage_events_2026_12", "usage_events_2027_03"}


BAD = {
    "a quantity that is no number": ('"quantity":1,', '"quantity":"x",'),
    "a quantity too large": ('"quantity":1,', '"quantity":1000000000000000000,'),
    "more decimals than are kept": ('"quantity":1,', '"quantity":0.0000000001,'),
    "a negative quantity without a correction": ('"quantity":1,', '"quantity":-1,'),
    "no tenant": ('"tenant_id":"tenant-1"', '"tenant_id":""'),
    "no device": ('"device_id":"device-1"', '"device":"device-1"'),
    "a NUL in the resource": ('"resource_id":"device-1"', '"resource_id":"\\u0000"'),
    "half a surrogate pair": ('"resource_id":"device-1"', '"resource_id":"\\ud800"'),
}


@pytest.mark.parametrize(("old", "new"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("place", [0, 3, 6])
async def test_a_row_that_the_database_refuses_dies_alone(rig, events, old: str, new: str, place: int) -> None:
    """None of them can pass ``record``; a bug or a bad disk could still bring one."""
    found = spooled(*events(7))
    assert old in found[place].canonical
    found[place] = found[place]._replace(canonical=found[place].canonical.replace(old, new))
    assert await rig.stores.ledger.keep(found) == Kept(new=6, dead=1)
    assert await rig.stores.ledger.keep(found) == Kept()
    (letter,) = rig.query("SELECT * FROM usage_dead_letters")
    assert (letter["code"], letter["seq"]) == ("UNSTORABLE", place + 1)
    assert bytes(letter["event"]).decode() == found[place].canonical
    assert rig.query("SELECT drained_seq FROM agent_streams") == [{"drained_seq": 7}]


async def test_what_is_no_rows_fault_kills_no_row(rig, events) -> None:
    await rig.stores.ledger.keep(spooled(*events(1)))
    rig.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'out of order'; END $$",
        "CREATE TRIGGER fail BEFORE INSERT ON usage_events_2027_03 FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    with pytest.raises(RejectedError, match="out of order"):
        await rig.stores.ledger.keep(spooled(*events(5, start=10), start=2))
    assert rig.states() == {"pending": 1}
    assert rig.dead() == {}


async def test_without_its_tables_the_database_counts_as_away(empty_database_dsn: str, events) -> None:
    database = Database(dsn=empty_database_dsn)
    await database.open()
    with pytest.raises(UnavailableError):
        await PostgresLedger(database=database, device_id=DeviceId("d")).keep(spooled(*events(1)))
    await database.close()


async def test_a_summary_counts_what_is_still_spooled(rig) -> None:
    await rig.record(3)
    await rig.delivery.drain()
    await rig.record(2, billable=False)
    await rig.record(1, tenant_id="other")
    summary = await rig.metering.summary()
    assert (summary.spooled, summary.complete) == (3, True)
    assert [(t.tenant_id, t.events, t.local_events) for t in summary.rows] == [("other", 1, 0), ("tenant-1", 3, 2)]
    assert [t.tenant_id for t in (await rig.metering.summary("other")).rows] == ["other"]
    day = summary.rows[0].day
    assert (await rig.metering.summary(since=day, until=day)).rows == summary.rows
    assert (await rig.metering.summary(since=day + timedelta(days=1))).rows == []
    assert (await rig.metering.summary(until=day - timedelta(days=1))).rows == []


async def test_a_summary_under_way_never_counts_an_event_twice_or_not_at_all(rig) -> None:
    await rig.record(1000)
    for _ in range(5):
        drains = asyncio.ensure_future(rig.delivery.drain())
        seen = []
        while not drains.done():
            seen += [(await rig.metering.summary()).rows[0].events]
        await drains
        assert set(seen) == {len(rig.recorded)}
        await rig.record(1000)


async def test_the_summary_does_without_the_database(rig) -> None:
    await rig.record(3)
    await rig.database.close()
    summary = await rig.metering.summary()
    assert (summary.complete, summary.spooled, [t.events for t in summary.rows]) == (False, 3, [3])


def arrived(rig: Any) -> list[tuple[Any, ...]]:
    """Meter, events and quantity of what arrived, by meter."""
    rows = rig.query("SELECT meter, events, quantity, local_events FROM usage_arrivals ORDER BY meter")
    return [tuple(row.values()) for row in rows]


async def test_every_place_arrives_once_whatever_becomes_of_it(rig, event) -> None:
    keyed = {"dedupe_key": "k", "event_time": START}
    one, again, other = event(1, **keyed), event(1, **keyed), event(1, **keyed | {"quantity": "0.5"})
    local, bad = event(2, billable=False), event(3, event_type="llm_tokens")
    bad = bad._replace(canonical=bad.canonical.replace('"filler":""', '"filler":"\\u0000"'))
    found = spooled(one, again, other, local, bad)
    for _ in range(2):
        await rig.stores.ledger.keep(found)
    assert arrived(rig) == [("api_call", 3, Decimal("2.5"), 1), ("llm_tokens", 1, Decimal(1), 0)]


async def test_a_repeated_call_waits_for_the_one_whose_answer_was_lost(rig, events, database_dsn) -> None:
    found = spooled(*events(20))
    with psycopg.connect(database_dsn) as lost:
        lost.execute("SELECT pg_advisory_xact_lock(hashtext('tapi-agent stream'), hashtext(%s))", [str(STREAM)])
        first = asyncio.ensure_future(rig.stores.ledger.keep(found))
        second = asyncio.ensure_future(rig.stores.ledger.keep(found))
        waiting = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while rig.query(waiting)[0]["n"] < 2:
            await asyncio.sleep(0.01)
    assert sorted([(await first).new, (await second).new]) == [0, 20]
    assert arrived(rig) == [("api_call", 20, Decimal(20), 0)]


@pytest.mark.parametrize("name", ["\\u0000", "\\ud800"])
async def test_a_text_that_no_column_can_hold_stands_in_nobodys_way(rig, events, name) -> None:
    first, bad, last = events(3)
    bad = bad._replace(canonical=bad.canonical.replace('"tenant-1"', f'"tenant-{name}"'))
    kept = await rig.stores.ledger.keep(spooled(first, bad, last))
    assert kept == Kept(new=2, dead=1)
    assert arrived(rig) == [("api_call", 2, Decimal(2), 0)]
