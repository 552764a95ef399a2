"""What is written, when, and what is not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from tapi_agent.domain.decision import DecisionReason as R
from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.ids import STRANGER, TENANT, CameraId
from tapi_agent.domain.license import LicenseState, Reason
from tapi_agent.services.connectivity import POSTGRES
from tapi_agent.testing.records import MemoryDecisions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tapi_agent.services.records import DecisionRecorder

HEATMAP, NEAR_MISS = "analytics.heatmap", "analytics.near_miss"
HOUR = timedelta(hours=1)


async def until(condition: Callable[[], object], *, within: float = 10) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(recorder: DecisionRecorder) -> AsyncIterator[None]:
    task = asyncio.create_task(recorder.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def reasons(records: MemoryDecisions, feature: str = HEATMAP) -> dict[str, R]:
    return {camera: kept[feature].reason for camera, kept in records.kept.items() if camera != STRANGER}


async def test_the_tenant_and_every_camera_are_recorded_with_every_feature(recorder, book, records, catalog) -> None:
    book.hears("gate", "yard", packs=("Advanced Analytics",))
    book.hears("yard")
    await recorder.record()
    assert set(records.kept) == {TENANT, STRANGER, "gate", "yard"}
    assert all(set(kept) == set(catalog.features) for kept in records.kept.values())
    assert reasons(records, NEAR_MISS) == {TENANT: R.PACK_REQUIRED, "gate": R.LICENSED, "yard": R.PACK_REQUIRED}
    assert records.kept["gate"][NEAR_MISS].source_pack == "advanced_analytics"
    assert records.kept["yard"][NEAR_MISS].packs == ("advanced_analytics",)


async def test_a_decision_is_recorded_with_the_end_of_what_it_rests_on(recorder, book, records, machine) -> None:
    now = machine.wall()
    book.hears("gate")
    await recorder.record()
    kept = records.kept["gate"][HEATMAP]
    assert (kept.decided_at, kept.holds_until) == (now, now + HOUR)
    assert (kept.state, kept.license_reason) == (LicenseState.VALID, Reason.OK)


async def test_what_never_ends_is_recorded_without_an_end(recorder, book, records) -> None:
    book.hears("gate", denied=Reason.REVOKED)
    await recorder.record()
    assert records.kept["gate"][HEATMAP].holds_until is None


async def test_cameras_that_hold_the_same_are_written_in_one_call(recorder, book, records, machine) -> None:
    for number in range(20):
        book.hears(f"camera {number}")
        machine.advance(timedelta(seconds=1))
    await recorder.record()
    assert len(records.kept) == 22
    assert records.calls == 2, "one for all of them, one for any other camera"


async def test_many_are_written_in_several_calls(recorder, book, records, catalog) -> None:
    book.hears(*(f"camera {number}" for number in range(200)))
    await recorder.record()
    assert len(records.kept) == 202
    assert records.calls == -(-201 // (5000 // len(catalog.features))) + 1


async def test_only_what_has_changed_is_written_again(recorder, book, records) -> None:
    book.hears("", "gate", "yard")
    await recorder.record()
    await recorder.record()
    assert records.calls == 1
    before = records.kept["yard"]
    book.hears("gate", denied=Reason.SUSPENDED)
    await recorder.record()
    assert records.calls == 2
    assert reasons(records) == {TENANT: R.LICENSED, "gate": R.EXPIRED, "yard": R.LICENSED}
    assert records.kept["yard"] is before


async def test_the_same_word_later_moves_the_end(recorder, book, records, machine) -> None:
    book.hears("gate")
    await recorder.record()
    machine.advance(HOUR / 2)
    book.hears("gate")
    await recorder.record()
    assert records.kept["gate"][HEATMAP].holds_until == machine.wall() + HOUR


async def test_a_camera_that_is_removed_is_forgotten(recorder, book, records) -> None:
    book.hears("gate", "yard")
    await recorder.record()
    book.loses("gate")
    await recorder.record()
    assert set(records.kept) == {TENANT, STRANGER, "yard"}
    book.hears("gate")
    await recorder.record()
    assert set(records.kept) == {TENANT, STRANGER, "gate", "yard"}


async def test_what_an_earlier_life_left_is_forgotten(recorder, book, records) -> None:
    book.hears("gate")
    await recorder.record()
    records.kept["long gone"] = records.kept["gate"]
    recorder.start_over()
    await recorder.record()
    assert set(records.kept) == {TENANT, STRANGER, "gate"}


async def test_while_postgresql_is_down_nothing_is_tried_and_nothing_waits(
    recorder, book, records, connectivity
) -> None:
    records.is_down = True
    book.hears("gate")
    await recorder.record()
    assert connectivity.report()[POSTGRES].up is False
    records.is_down = False
    book.hears(*(f"camera {number}" for number in range(50)))
    await recorder.record()
    assert (records.calls, records.kept, recorder._written) == (0, {}, {})
    connectivity.succeeded(POSTGRES)
    recorder.start_over()
    await recorder.record()
    assert len(records.kept) == 53


async def test_a_database_that_comes_back_empty_is_filled_again(recorder, book, records) -> None:
    book.hears("gate")
    await recorder.record()
    records.kept.clear()
    recorder.start_over()
    await recorder.record()
    assert set(records.kept) == {TENANT, STRANGER, "gate"}


class DownInTheMiddle(MemoryDecisions):
    """Writes once and then no more."""

    async def record(self, *args, **options) -> None:
        await super().record(*args, **options)
        self.is_down = True


async def test_what_was_written_before_an_outage_is_not_lost_sight_of(recorder, book, connectivity) -> None:
    records = recorder._records = DownInTheMiddle(device_id="box", tenant_id="acme")
    book.hears("gate", "yard")
    book.hears("yard", denied=Reason.REVOKED)
    await recorder.record()
    assert connectivity.report()[POSTGRES].up is False
    for _ in range(2):
        records.is_down = False
        connectivity.succeeded(POSTGRES)
        await recorder.record()
    assert set(records.kept) == {TENANT, STRANGER, "gate", "yard"}
    assert records.calls == 3, "what holds the same once: the tenant is as badly off as its worst camera"


class Picky(MemoryDecisions):
    """Refuses one camera."""

    async def record(self, decisions, cameras, *, decided_at) -> None:
        if "gate" in cameras:
            self.calls += 1
            raise RejectedError("not that one", code="picky")
        await super().record(decisions, cameras, decided_at=decided_at)


async def test_what_is_refused_is_not_tried_for_ever(recorder, book) -> None:
    records = recorder._records = Picky(device_id="box", tenant_id="acme")
    book.hears("", "yard")
    book.hears("gate", denied=Reason.REVOKED)
    await recorder.record()
    await recorder.record()
    assert set(records.kept) == {TENANT, STRANGER, "yard"}
    assert records.calls == 2


class Keeping(MemoryDecisions):
    """Refuses to forget."""

    async def retain(self, cameras) -> None:
        raise RejectedError("no", code="picky")


async def test_a_refusal_to_forget_ends_nothing(recorder, book) -> None:
    kind, recorder._records = recorder._records, Keeping(device_id="box", tenant_id="acme")
    book.hears("gate")
    await recorder.record()
    recorder._records = kind
    await recorder.record()
    assert set(kind.kept) == {TENANT, STRANGER, "gate"}


async def test_a_change_is_written_within_two_seconds_and_with_its_company(recorder, book, records) -> None:
    async with running(recorder):
        await until(lambda: records.kept)
        for number in range(10):
            book.hears(f"camera {number}")
            recorder.wake()
            await asyncio.sleep(0)
        await until(lambda: "camera 9" in records.kept, within=2)
    assert records.calls == 3, "the tenant and any other camera at first, then all ten at once"


async def test_a_deadline_that_passes_is_written_without_a_word(recorder, book, records, machine, monkeypatch) -> None:
    monkeypatch.setattr("tapi_agent.services.records.decisions._GLANCE", timedelta(milliseconds=10))
    book.hears("gate", valid_until=machine.wall() + HOUR)
    async with running(recorder):
        await until(lambda: reasons(records).get(CameraId("gate")) is R.LICENSED)
        machine.advance(HOUR)
        await until(lambda: reasons(records)["gate"] is R.GRACE, within=3)


async def test_an_outage_ends_with_everything_written(recorder, book, records, connectivity) -> None:
    connectivity.on_recovery(POSTGRES, recorder.start_over)
    records.is_down = True
    book.hears("gate")
    async with running(recorder):
        await until(lambda: connectivity.report()[POSTGRES].up is False)
        records.is_down = False
        connectivity.succeeded(POSTGRES)
        await until(lambda: "gate" in records.kept, within=3)


async def test_others_have_their_turn_between_any_two_cameras(recorder, book) -> None:
    book.hears(*(f"camera {number}" for number in range(100)))
    turns = 0

    async def look() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    looking = asyncio.create_task(look())
    await recorder.record()
    looking.cancel()
    assert turns >= 100
