"""One suite for the store of telemetry: the fake and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from tapi_agent.adapters.postgres.telemetry import PostgresTelemetry
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.ids import CameraId, TenantId
from tapi_agent.domain.telemetry import (
    ClassCount,
    DwellTime,
    Frame,
    Place,
    SeriesCount,
    Summary,
    TelemetryEvent,
    TelemetryType,
    TypeCount,
)
from tapi_agent.testing.telemetry import MemoryTelemetry

if TYPE_CHECKING:
    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.telemetry import Aggregate
    from tapi_agent.ports.telemetry import TelemetryStore

GATE, YARD = CameraId("gate"), CameraId("Tür %s'")
T: Final = datetime(2027, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
END: Final = T + timedelta(days=1)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


def event(number: int = 0, **fields: object) -> TelemetryEvent:
    plain = TelemetryEvent(
        camera_id=GATE,
        occurred_at=T + number * SECOND,
        event_type=list(TelemetryType)[number % 5],
        source_id=f"zone {number}",
    )
    return replace(plain, **fields)


@pytest.fixture
def store(store_database: Database | None) -> TelemetryStore:
    if store_database is None:
        return MemoryTelemetry()
    return PostgresTelemetry(database=store_database, tenant_id=TenantId("acme"))


async def test_events_come_back_as_they_were_the_newest_first(store: TelemetryStore) -> None:
    properties = '{"track_id":"9007199254740993", "bbox": [0.10, 1E+2], "note": "line\\nbreak \\u0001", "n": 1.10}'
    events = [
        event(0, properties=properties, frame_id=7, source_id="歩行者 %s'; --"),
        event(1),
        event(2, frame_id=2**63 - 1),
        event(3, camera_id=YARD),
    ]
    numbers = await store.record(events)
    assert len(set(numbers)) == 4
    assert min(numbers) >= 10**12  # below are those of imported rows
    kept = [replace(one, event_id=number) for one, number in zip(events, numbers, strict=True)]
    assert list(await store.events(GATE, start=T, end=END)) == kept[2::-1]
    assert list(await store.events(YARD, start=T, end=END)) == kept[3:]
    assert list(await store.events(CameraId("nobody"), start=T, end=END)) == []


async def test_a_span_has_its_start_and_not_its_end(store: TelemetryStore) -> None:
    await store.record([event(number) for number in range(5)])
    found = await store.events(GATE, start=T + SECOND, end=T + 3 * SECOND)
    assert [one.occurred_at for one in found] == [T + 2 * SECOND, T + SECOND]
    assert list(await store.events(GATE, start=T, end=T)) == []


async def test_pages_follow_each_other_without_gap_or_repeat(store: TelemetryStore) -> None:
    events = [event(0, source_id=str(number)) for number in range(7)] + [event(1), event(-1)]
    numbers = await store.record(events)
    behind, found = None, []
    while page := await store.events(GATE, start=T - DAY, end=END, behind=behind, limit=2):
        assert len(page) <= 2
        found += page
        behind = Place(at=page[-1].occurred_at, number=page[-1].event_id)
        await store.record([event(10)])  # what comes meanwhile is on no page behind
    assert sorted(one.event_id for one in found) == sorted(numbers)
    assert [one.occurred_at for one in found] == sorted((one.occurred_at for one in found), reverse=True)


async def test_a_place_beyond_the_end_opens_nothing(store: TelemetryStore) -> None:
    await store.record([event(0), event(5)])
    page = await store.events(GATE, start=T, end=T + SECOND, behind=Place(at=END, number=0))
    assert [one.occurred_at for one in page] == [T]


async def test_a_year_of_months_in_one_call(store: TelemetryStore) -> None:
    ends = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
    months = [datetime(2031, month, 28, tzinfo=UTC) for month in range(1, 13)]
    await store.record([event(occurred_at=at) for at in (*months, *ends)])
    found = await store.events(GATE, start=ends[0], end=ends[1] + SECOND)
    assert [one.occurred_at for one in found] == sorted([*months, *ends], reverse=True)


async def test_thousands_in_one_call(store: TelemetryStore) -> None:
    numbers = await store.record([event(number) for number in range(2500)])
    assert numbers == sorted(set(numbers))
    assert len(await store.events(GATE, start=T, end=END, limit=5000)) == 2500


@pytest.mark.parametrize(
    "at", [datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)], ids=str
)
async def test_another_century_is_refused_and_nothing_of_the_call_is_kept(store: TelemetryStore, at: datetime) -> None:
    with pytest.raises(InvalidInputError, match="2000 and 2100") as caught:
        await store.record([event(), event(occurred_at=at)])
    assert (caught.value.code, caught.value.pointer) == ("OUT_OF_RANGE", "#/1")
    with pytest.raises(InvalidInputError):
        await store.save_frame(Frame(camera_id=GATE, captured_at=at))
    everything = {"start": at - 365 * DAY, "end": at + 365 * DAY}
    assert list(await store.events(GATE, **everything)) == list(await store.frames(GATE, **everything)) == []


async def test_nothing_is_nothing(store: TelemetryStore) -> None:
    assert list(await store.record([])) == []
    await store.save_aggregates([])
    await store.save_dwell_times([])
    assert list(await store.aggregates(GATE, start=T, end=END)) == []
    assert list(await store.dwell_times(GATE, start=T, end=END)) == []


async def test_a_frame_comes_back_with_its_picture_and_lists_without(store: TelemetryStore) -> None:
    picture = Frame(camera_id=GATE, captured_at=T, thumbnail=bytes(range(256)), width=320, height=180)
    bare = Frame(camera_id=GATE, captured_at=T + SECOND)
    numbers = [await store.save_frame(frame) for frame in (picture, bare, replace(bare, camera_id=YARD))]
    assert await store.frame(GATE, numbers[0]) == replace(picture, frame_id=numbers[0])
    assert await store.frame(GATE, numbers[1]) == replace(bare, frame_id=numbers[1])
    assert await store.frame(YARD, numbers[0]) is None
    assert list(await store.frames(GATE, start=T, end=END)) == [
        replace(bare, frame_id=numbers[1]),
        replace(picture, frame_id=numbers[0], thumbnail=None),
    ]


async def test_pages_of_frames_follow_each_other(store: TelemetryStore) -> None:
    numbers = [await store.save_frame(Frame(camera_id=GATE, captured_at=T + n // 2 * SECOND)) for n in range(5)]
    behind, found = None, []
    while page := await store.frames(GATE, start=T, end=END, behind=behind, limit=2):
        found += page
        behind = Place(at=page[-1].captured_at, number=page[-1].frame_id)
    assert [one.frame_id for one in found] == sorted(numbers, reverse=True)
    assert len(await store.frames(GATE, start=T, end=T + SECOND)) == 2


AGGREGATES: Final[list[Aggregate]] = [
    Summary(camera_id=GATE, summary_key="total", value='{"n": 1.10}', counted_at=T),
    Summary(camera_id=GATE, summary_key="nothing", value="null"),
    SeriesCount(
        camera_id=GATE,
        bucket_start=T,
        bucket=HOUR,
        event_type=TelemetryType.DETECTION,
        events=5,
        class_name="歩行者",
        counted_at=T,
    ),
    SeriesCount(camera_id=GATE, bucket_start=T, bucket=HOUR, event_type=TelemetryType.DETECTION, events=9),
    SeriesCount(
        camera_id=GATE, bucket_start=T, bucket=timedelta(milliseconds=1), event_type=TelemetryType.CUSTOM, events=0
    ),
    ClassCount(camera_id=GATE, event_type=TelemetryType.TRACKING, class_name="car", events=2**62, counted_at=T),
    TypeCount(
        camera_id=GATE,
        event_type=TelemetryType.TRACKING,
        events=4,
        recent_events=3,
        counted_at=T,
        recent_counted_at=T + HOUR,
    ),
    TypeCount(camera_id=GATE, event_type=TelemetryType.CROSSING, events=4, recent_events=3),
]


async def test_aggregates_of_every_kind_come_back_as_they_were(store: TelemetryStore) -> None:
    yard = Summary(camera_id=YARD, summary_key="total", value="{}")
    await store.save_aggregates([*AGGREGATES, yard])
    assert set(await store.aggregates(GATE, start=T, end=END)) == set(AGGREGATES)
    assert list(await store.aggregates(YARD, start=T, end=END)) == [yard]


@pytest.mark.parametrize("one", AGGREGATES, ids=lambda one: type(one).__name__)
async def test_counting_again_replaces_what_was_counted(store: TelemetryStore, one: Aggregate) -> None:
    later = replace(one, counted_at=END, **({"value": "[]"} if isinstance(one, Summary) else {"events": 77}))
    await store.save_aggregates(AGGREGATES)
    await store.save_aggregates([one, later])
    assert set(await store.aggregates(GATE, start=T, end=END)) == {later, *AGGREGATES} - {one}


async def test_of_the_series_what_begins_in_the_span(store: TelemetryStore) -> None:
    hours = [
        SeriesCount(camera_id=GATE, bucket_start=T + n * HOUR, bucket=HOUR, event_type=TelemetryType.CUSTOM, events=n)
        for n in range(4)
    ]
    total = AGGREGATES[0]
    await store.save_aggregates([*hours, total])
    assert set(await store.aggregates(GATE, start=T + HOUR, end=T + 3 * HOUR)) == {*hours[1:3], total}


async def test_thousands_of_aggregates(store: TelemetryStore) -> None:
    many = [Summary(camera_id=GATE, summary_key=str(n), value=str(n)) for n in range(2100)]
    await store.save_aggregates(many)
    assert set(await store.aggregates(GATE, start=T, end=END)) == set(many)


def dwell(track_id: str = "1", class_name: str = "car", **fields: object) -> DwellTime:
    plain = DwellTime(camera_id=GATE, track_id=track_id, class_name=class_name, first_seen=T, last_seen=T + SECOND)
    return replace(plain, **fields)


async def test_dwell_times_come_back_as_they_were_in_order(store: TelemetryStore) -> None:
    times = [
        dwell("B", detections=99, counted_at=END),
        dwell("a"),
        dwell("a", "person"),
        dwell("1", last_seen=T + HOUR),
    ]
    await store.save_dwell_times([*times[::-1], dwell(camera_id=YARD), dwell("0", last_seen=T - HOUR)])
    assert list(await store.dwell_times(GATE, start=T, end=END)) == times
    assert [one.dwell for one in times] == [SECOND, SECOND, SECOND, HOUR]
    (backwards,) = await store.dwell_times(GATE, start=T - DAY, end=T)
    assert backwards.dwell == -HOUR


async def test_a_track_that_is_seen_again_is_one(store: TelemetryStore) -> None:
    await store.save_dwell_times([dwell()])
    await store.save_dwell_times([dwell(detections=2), dwell(detections=3, last_seen=T + HOUR)])
    assert list(await store.dwell_times(GATE, start=T, end=END)) == [dwell(detections=3, last_seen=T + HOUR)]
