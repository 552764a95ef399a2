"""What only PostgreSQL can get wrong with telemetry: months, numbers of statements, rows that it refuses."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tapi_agent.adapters.postgres.connection import GuardedConnection
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.postgres.telemetry import PostgresTelemetry
from tapi_agent.domain.errors import InvalidInputError, RejectedError, UnavailableError
from tapi_agent.domain.ids import CameraId, TenantId
from tapi_agent.domain.telemetry import DwellTime, Frame, SeriesCount, Summary, TelemetryEvent, TelemetryType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GATE = CameraId("gate")
T = datetime(2043, 7, 31, 23, 59, 59, 999999, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
EVENT = TelemetryEvent(camera_id=GATE, occurred_at=T, event_type=TelemetryType.CROSSING, source_id="zone")
SPAN = {"start": T - DAY, "end": T + DAY}


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn=database_dsn)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def store(database: Database) -> PostgresTelemetry:
    return PostgresTelemetry(database=database, tenant_id=TenantId("acme"))


async def months(database: Database) -> list[str]:
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits "
            "WHERE inhparent = 'telemetry_events'::regclass AND inhrelid::regclass::text LIKE %s ORDER BY 1",
            ("telemetry_events_2043%",),
        )
        return [row["name"] for row in await cursor.fetchall()]


async def test_months_are_made_on_demand(store: PostgresTelemetry, database: Database) -> None:
    assert await months(database) == []
    await store.record([EVENT, replace(EVENT, occurred_at=T + timedelta(microseconds=1))])
    assert await months(database) == ["telemetry_events_2043_07", "telemetry_events_2043_08"]
    assert len(await store.events(GATE, **SPAN)) == 2


async def test_agents_that_need_the_same_month_at_once_both_get_it(
    store: PostgresTelemetry, database: Database
) -> None:
    await asyncio.gather(*(store.record([EVENT]) for _ in range(6)))
    assert await months(database) == ["telemetry_events_2043_07"]
    assert len(await store.events(GATE, **SPAN)) == 6


async def test_a_statement_for_every_thousand(store: PostgresTelemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    executed: Counter[str] = Counter()
    execute = GuardedConnection.execute

    async def counting(self: GuardedConnection, query: Any, *arguments: Any, **options: Any) -> Any:
        executed[query] += query != ""  # which is how the pool looks whether a connection lives
        return await execute(self, query, *arguments, **options)

    await store.record([EVENT])
    monkeypatch.setattr(GuardedConnection, "execute", counting)
    for count, expected in ((1, 1), (1000, 1), (1001, 2), (2500, 3)):
        executed.clear()
        await store.record([EVENT] * count)
        assert (count, executed.total()) == (count, expected)
    executed.clear()
    assert len(await store.events(GATE, **SPAN, limit=10_000)) == 4503
    assert executed.total() == 1


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        pytest.param({"source_id": "a\0"}, RejectedError, id="NUL"),
        pytest.param({"source_id": "\ud800"}, InvalidInputError, id="half a surrogate pair"),
        pytest.param({"properties": "{"}, RejectedError, id="no JSON"),
        pytest.param({"properties": "[]"}, RejectedError, id="no object"),
        pytest.param({"frame_id": 2**63}, RejectedError, id="too large a number"),
        pytest.param({"camera_id": ""}, RejectedError, id="no camera"),
        pytest.param({"event_type": "sighting"}, RejectedError, id="unknown type"),
    ],
)
async def test_one_bad_event_keeps_the_whole_call_out(
    store: PostgresTelemetry, wrong: dict[str, object], error: type[Exception]
) -> None:
    for before in (0, 1):  # without and with the month
        with pytest.raises(error):
            await store.record([EVENT] * 1500 + [replace(EVENT, **wrong)])
        assert len(await store.events(GATE, **SPAN)) == before
        await store.record([EVENT])


async def test_a_bad_row_of_the_others_changes_nothing(store: PostgresTelemetry) -> None:
    good = Summary(camera_id=GATE, summary_key="n", value="1")
    with pytest.raises(RejectedError):
        await store.save_aggregates([good, replace(good, summary_key="m", value="{")])
    series = SeriesCount(camera_id=GATE, bucket_start=T, bucket=timedelta(0), event_type=TelemetryType.CUSTOM, events=1)
    with pytest.raises(RejectedError, match="bucket"):
        await store.save_aggregates([good, series])
    with pytest.raises(RejectedError, match="detections"):
        await store.save_dwell_times(
            [DwellTime(camera_id=GATE, track_id="1", class_name="c", first_seen=T, last_seen=T, detections=-1)]
        )
    with pytest.raises(RejectedError, match="width"):
        await store.save_frame(Frame(camera_id=GATE, captured_at=T, width=0))
    assert list(await store.aggregates(GATE, **SPAN)) == list(await store.dwell_times(GATE, **SPAN)) == []


async def test_those_who_count_the_same_at_once_do_not_wait_for_each_other(store: PostgresTelemetry) -> None:
    counts = [Summary(camera_id=GATE, summary_key=str(number), value="1") for number in range(200)]
    await asyncio.gather(*(store.save_aggregates(counts if turn % 2 else counts[::-1]) for turn in range(8)))
    assert set(await store.aggregates(GATE, **SPAN)) == set(counts)


async def test_tenants_do_not_see_each_other(store: PostgresTelemetry, database: Database) -> None:
    other = PostgresTelemetry(database=database, tenant_id=TenantId("globex"))
    await store.record([EVENT])
    number = await store.save_frame(Frame(camera_id=GATE, captured_at=T))
    await store.save_aggregates([Summary(camera_id=GATE, summary_key="n", value="1")])
    await store.save_dwell_times([DwellTime(camera_id=GATE, track_id="1", class_name="c", first_seen=T, last_seen=T)])
    assert await other.frame(GATE, number) is None
    for found in (other.events(GATE, **SPAN), other.frames(GATE, **SPAN), other.aggregates(GATE, **SPAN)):
        assert list(await found) == []
    assert list(await other.dwell_times(GATE, **SPAN)) == []


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    database = Database(dsn="host=/nonexistent")
    await database.open()
    with pytest.raises(UnavailableError, match="unreachable"):
        await PostgresTelemetry(database=database, tenant_id=TenantId("acme")).record([EVENT])
    await database.close()
