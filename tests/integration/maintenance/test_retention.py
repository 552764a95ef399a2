"""What is finished and old goes; what is not finished, or still decides something, stays: an oracle compares."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

MAINTAINER: Final = Path(__file__).with_name("maintainer.py")
NOW: Final = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY: Final = timedelta(days=1)
KEEP: Final = 30 * DAY
BEFORE: Final = NOW - KEEP
FINISHED: Final = ("synced", "local", "dead")
STATES: Final = (*FINISHED, "pending", "sealed")
TABLES_KEPT: Final = ("usage_totals", "usage_dead_letters", "agent_streams")
ARRIVED: Final = """
INSERT INTO usage_arrivals (stream, tenant_id, meter, unit, day, events, quantity)
SELECT stream, tenant_id, event_type, unit, (event_time AT TIME ZONE 'UTC')::date, 1, quantity FROM usage_events
"""
UNACCOUNTED: Final = """
SELECT count(*) FROM usage_arrivals AS arrival
LEFT JOIN (
    SELECT stream, count(*) AS events, sum(quantity) AS quantity FROM usage_events GROUP BY stream
) AS here USING (stream)
WHERE arrival.events <> forgotten_events + coalesce(here.events, 0)
    OR arrival.quantity <> forgotten_quantity + coalesce(here.quantity, 0)
"""


def four_months(rig: Any) -> None:
    for start, end in (("03", "04"), ("04", "05"), ("05", "06"), ("06", "07")):
        rig.month("usage_events", f"2026-{start}-01", f"2026-{end}-01")


def columns(state: str, rig: Any) -> dict[str, object]:
    return {"batch_id": rig.batch(timedelta(0), "sealed")} if state == "sealed" else {}


@pytest.mark.parametrize("state", STATES)
async def test_an_old_event_goes_only_when_it_is_finished(rig: Any, state: str) -> None:
    four_months(rig)
    old = rig.event(KEEP + DAY, state, **columns(state, rig))
    young = rig.event(KEEP - DAY, "synced")
    assert await rig.retention.forget_usage(BEFORE) == (state in FINISHED)
    assert rig.events() == ({young} if state in FINISHED else {old, young})


async def test_the_line_is_exact(rig: Any) -> None:
    four_months(rig)
    at, later = rig.event(KEEP), rig.event(KEEP - timedelta(milliseconds=1))
    rig.event(KEEP + timedelta(milliseconds=1))
    assert await rig.retention.forget_usage(BEFORE) == 1
    assert rig.events() == {at, later}


async def test_another_devices_events_are_its_own_to_forget(rig: Any) -> None:
    four_months(rig)
    other = rig.event(KEEP + DAY, device_id="device-2")
    rig.event(KEEP + DAY)
    await rig.retention.forget_usage(BEFORE)
    assert rig.events() == {other}


async def test_the_oldest_go_first_in_chunks(rig: Any) -> None:
    four_months(rig)
    ids = [rig.event(KEEP + DAY * days) for days in range(40, 0, -1)]
    rig.execute("CREATE TABLE gone (place bigint GENERATED ALWAYS AS IDENTITY, event_id uuid, chunk bigint)")
    rig.execute(
        """CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO gone (event_id, chunk) VALUES (OLD.event_id, txid_current()); RETURN OLD; END $$"""
    )
    rig.execute("CREATE TRIGGER note BEFORE DELETE ON usage_events FOR EACH ROW EXECUTE FUNCTION note()")
    assert await rig.retention.forget_usage(BEFORE) == 40
    chunks: dict[int, list[Any]] = {}
    for row in rig.query("SELECT event_id, chunk FROM gone ORDER BY place"):
        chunks.setdefault(row["chunk"], []).append(row["event_id"])
    assert [set(chunk) for chunk in chunks.values()] == [set(ids[start : start + 3]) for start in range(0, 40, 3)]


async def test_what_goes_is_counted_with_its_repeats_under_the_places_they_had(rig: Any) -> None:
    four_months(rig)
    old = rig.event(KEEP + DAY, quantity="0.5")
    young = rig.event(KEEP - DAY, quantity="0.25")
    rig.execute(ARRIVED)
    other = uuid4()
    for seq, event_id in enumerate((old, old, young), 1):
        rig.execute("INSERT INTO usage_duplicates VALUES (%s, %s, %s)", [other, seq, event_id])
    await rig.retention.forget_usage(BEFORE)
    await rig.retention.forget_usage(BEFORE)
    assert rig.query("SELECT seq FROM usage_duplicates") == [{"seq": 3}]
    forgotten = "SELECT stream, forgotten_events AS n, forgotten_quantity AS sum FROM usage_arrivals"
    found = {row["stream"] == other: (row["n"], row["sum"]) for row in rig.query(f"{forgotten} WHERE day < '{BEFORE}'")}
    assert found == {True: (2, 1), False: (1, Decimal("0.5"))}


async def test_what_lies_within_the_span_of_a_batch_in_doubt_stays(rig: Any) -> None:
    four_months(rig)
    doubt = rig.batch(KEEP + 9 * DAY, "ambiguous")
    spanning = [rig.event(KEEP + days * DAY, "sealed", batch_id=doubt) for days in (10, 20)]
    within = rig.event(KEEP + 15 * DAY, "synced")
    rig.event(KEEP + 15 * DAY, "synced", tenant_id="another")
    rig.event(KEEP + 21 * DAY, "synced")
    rig.event(KEEP + 9 * DAY, "synced")
    assert await rig.retention.forget_usage(BEFORE) == 3
    assert rig.events() == {*spanning, within}


async def test_batches_go_with_the_last_thing_that_refers_to_them(rig: Any) -> None:
    four_months(rig)
    age = KEEP + 3 * DAY
    rig.batch(age)
    split = rig.batch(age, "split")
    rig.batch(age, root=split, parent=split)
    young = rig.batch(KEEP - DAY)
    referred = rig.batch(age)
    rig.event(age, "sealed", batch_id=referred)
    mourned = rig.batch(age)
    rig.execute(
        "INSERT INTO usage_dead_letters (event_id, stream, seq, batch_id, code, event) "
        "VALUES (gen_random_uuid(), gen_random_uuid(), 1, %s, 'REJECTED', '')",
        [mourned],
    )
    half = rig.batch(age, "split")
    rest = rig.batch(age, "ambiguous", root=half, parent=half)
    await rig.retention.forget_usage(BEFORE)
    left = {row["batch_id"] for row in rig.query("SELECT batch_id FROM usage_batches")}
    assert left == {young, referred, mourned, half, rest}


def fill(rig: Any, count: int, seed: int) -> None:
    """Events of all states and ages, with the totals that go with them; some tenants' are all finished."""
    chance = random.Random(seed)  # noqa: S311 - a test's data
    four_months(rig)
    for _ in range(count):
        tenant = chance.choice(("mixed", "finished", "finished too"))
        state = chance.choice(STATES if tenant == "mixed" else FINISHED)
        age = timedelta(minutes=chance.randrange(95 * 24 * 60))
        quantity = Decimal(chance.randrange(1, 10**6)) / 1000
        rig.event(age, state, quantity=quantity, tenant_id=tenant, **columns(state, rig))
    rig.execute(
        """INSERT INTO usage_totals
        SELECT tenant_id, event_type, unit, (event_time AT TIME ZONE 'UTC')::date,
            count(*) FILTER (WHERE billable), coalesce(sum(quantity) FILTER (WHERE billable), 0),
            count(*) FILTER (WHERE NOT billable), coalesce(sum(quantity) FILTER (WHERE NOT billable), 0)
        FROM usage_events GROUP BY 1, 2, 3, 4"""
    )
    rig.execute(ARRIVED)


def account(rig: Any) -> dict[str, list[Any]]:
    """What retention must not change: all that is not finished, all that is young, every sum."""
    kept = {
        "unfinished": "SELECT * FROM usage_events WHERE state IN ('pending', 'sealed') ORDER BY event_id",
        "young": f"SELECT * FROM usage_events WHERE recorded_at >= '{BEFORE}' ORDER BY event_id",  # noqa: S608 - ours
        "open": "SELECT * FROM usage_batches WHERE state IN ('sealed', 'sending', 'ambiguous') ORDER BY batch_id",
    } | {table: f"SELECT * FROM {table} ORDER BY 1, 2, 3" for table in TABLES_KEPT}  # noqa: S608 - ours
    return {name: rig.query(query) for name, query in kept.items()}


OVERDUE: Final = f"""
SELECT count(*) FROM usage_events AS event WHERE recorded_at < '{BEFORE}' AND state IN ('synced', 'local', 'dead')
AND NOT EXISTS (SELECT FROM usage_events AS other WHERE other.tenant_id = event.tenant_id
    AND other.state IN ('pending', 'sealed')
    GROUP BY other.batch_id HAVING event.event_time BETWEEN min(other.event_time) AND max(other.event_time))
"""  # noqa: S608 - ours


async def test_two_agents_at_once_forget_what_is_to_go_and_nothing_else(every_rig: Any) -> None:
    fill(every_rig, 300, seed=1)
    before, overdue = account(every_rig), every_rig.value(OVERDUE)
    assert overdue > 100
    gone = await asyncio.gather(*(every_rig.retention.forget_usage(BEFORE) for _ in range(2)))
    await every_rig.retention.forget_usage(BEFORE)
    assert sum(gone) <= overdue
    assert every_rig.value(OVERDUE) == 0
    assert account(every_rig) == before
    assert every_rig.value(UNACCOUNTED) == 0


async def test_killed_in_the_middle_it_goes_on_where_it_was(rig: Any) -> None:
    fill(rig, 1000, seed=2)
    before, overdue, events = account(rig), rig.value(OVERDUE), len(rig.events())
    command = (sys.executable, MAINTAINER, rig.dsn, "forget_usage", BEFORE.isoformat())
    process = await asyncio.create_subprocess_exec(*command)
    async with asyncio.timeout(30):
        while len(rig.events()) == events:
            await asyncio.sleep(0.001)
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    assert account(rig) == before
    assert 0 < rig.value(OVERDUE) < overdue
    await rig.retention.forget_usage(BEFORE)
    assert rig.value(OVERDUE) == 0
    assert account(rig) == before
    assert rig.value(UNACCOUNTED) == 0


TELEMETRY: Final = {
    "frames": "INSERT INTO frames (tenant_id, camera_id, captured_at) VALUES ('t', 'c', %s)",
    "dwell_times": "INSERT INTO dwell_times (tenant_id, camera_id, track_id, class_name, first_seen, last_seen) "
    "VALUES ('t', 'c', gen_random_uuid(), 'car', '2000-01-01Z', %s)",
    "telemetry_aggregates": "INSERT INTO telemetry_aggregates (tenant_id, camera_id, kind, bucket_start, bucket, "
    "event_type, events) VALUES ('t', 'c', 'series', %s - interval '1 hour', '1 hour', 'custom', 1)",
}


@pytest.mark.parametrize("table", TELEMETRY)
async def test_old_telemetry_goes_in_chunks(every_rig: Any, table: str) -> None:
    every_rig.execute(
        "INSERT INTO telemetry_aggregates (tenant_id, camera_id, kind, summary_key, value, counted_at) "
        "VALUES ('t', 'c', 'summary', 'total', '1', '2001-01-01Z')"
    )
    for hours in range(-8, 3):
        every_rig.execute(TELEMETRY[table], [BEFORE + timedelta(hours=hours)])
    assert await every_rig.retention.forget_telemetry(BEFORE) == 8
    assert every_rig.value(f"SELECT count(*) FROM {table}") == 3 + (table == "telemetry_aggregates")  # noqa: S608 - ours


async def test_of_the_license_edges_the_last_of_each_camera_and_the_untold_stay(every_rig: Any) -> None:
    edge = """
        INSERT INTO license_validation_log (
            edge_id, device_id, tenant_id, camera_id, old_state, new_state, reason, changed_at, published)
        VALUES (gen_random_uuid(), 'd', 't', %s, 'valid', 'grace', 'PAST_DUE', %s, %s)"""
    edges = [
        *(("a", 500 - n, True) for n in range(7)),  # all old
        ("b", 500, False),  # not told yet
        ("b", 450, True),
        ("c", 500, True),
        ("c", 10, True),
        ("", 500, True),
    ]
    for camera, days, published in edges:
        every_rig.execute(edge, [camera, NOW - days * DAY, published])
    assert await every_rig.retention.forget_edges(NOW - 400 * DAY) == 7
    left = every_rig.query("SELECT camera_id, changed_at FROM license_validation_log ORDER BY entry_id")
    days = [(row["camera_id"], (NOW - row["changed_at"]).days) for row in left]
    assert days == [("a", 494), ("b", 500), ("b", 450), ("c", 10), ("", 500)]


async def test_the_size_is_that_of_all_months_and_the_oldest_is_the_oldest_finished(every_rig: Any) -> None:
    assert await every_rig.retention.usage_bytes() == 0
    assert await every_rig.retention.oldest_finished() is None
    four_months(every_rig)
    empty = await every_rig.retention.usage_bytes()
    for days, state in ((50, "pending"), (40, "synced"), (3, "local")):
        every_rig.event(days * DAY, state)
    every_rig.event(45 * DAY, device_id="device-2")
    assert await every_rig.retention.usage_bytes() > empty > 0
    assert await every_rig.retention.oldest_finished() == NOW - 40 * DAY
