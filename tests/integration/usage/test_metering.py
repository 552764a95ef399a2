"""Recording, as applications see it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tapi_agent.domain.errors import InvalidInputError, UnavailableError
from tapi_agent.services.metering import Recorded
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GOOD = {"event_type": "api_call", "quantity": 1}


@pytest.fixture
async def rig(build) -> AsyncIterator[Any]:
    async with build(FakeBilling()) as made:
        yield made


async def test_an_event_is_in_the_spool_when_it_is_acknowledged(rig) -> None:
    recorded = await rig.metering.record(GOOD)
    (spooled,) = await rig.spool.head(10)
    assert (recorded.seq, str(recorded.event_id) in spooled.canonical) == (spooled.seq, True)


async def test_bad_input_is_refused_and_leaves_nothing(rig) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await rig.metering.record(GOOD | {"quantity": "NaN"})
    assert (caught.value.code, caught.value.pointer) == ("NOT_FINITE", "#/quantity")
    assert rig.spool.depth == 0


async def test_of_a_list_the_good_ones_are_kept_in_their_order(rig) -> None:
    drafts = [GOOD, {}, GOOD | {"quantity": 2}, "no event", GOOD | {"event_type": "api_cal"}]
    outcomes = await rig.metering.record_many(drafts)
    assert [getattr(outcome, "code", "kept") for outcome in outcomes] == [
        "kept", "MISSING", "kept", "WRONG_TYPE", "UNKNOWN_METER",
    ]  # fmt: skip
    kept = [outcome for outcome in outcomes if isinstance(outcome, Recorded)]
    spooled = {one.seq: one.canonical for one in await rig.spool.head(9)}
    assert all(str(outcome.event_id) in spooled[outcome.seq] for outcome in kept)
    assert [outcome.seq for outcome in kept] == [1, 2]


async def test_a_list_without_a_good_one_writes_nothing(rig) -> None:
    (outcome,) = await rig.metering.record_many([{}])
    assert isinstance(outcome, InvalidInputError)
    assert (list(await rig.metering.record_many([])), rig.spool.depth) == ([], 0)


async def test_ids_never_go_back_in_time_not_even_after_a_restart(build) -> None:
    async with build(FakeBilling()) as rig:
        rig.clock.machine.advance(timedelta(days=3))
        late = await rig.metering.record(GOOD)
        rig.clock.machine.set_wall(rig.clock.machine.wall() - timedelta(days=2))
        assert (await rig.metering.record(GOOD)).event_id.int >> 80 >= late.event_id.int >> 80
        await rig.delivery.drain()
    async with build(FakeBilling()) as rig:  # three days back
        assert (await rig.metering.record(GOOD)).event_id.int >> 80 >= late.event_id.int >> 80


async def test_the_same_key_is_the_same_event(rig) -> None:
    keyed = GOOD | {"dedupe_key": "k", "event_time": "2027-03-01T11:00:00Z"}
    first, again = await rig.metering.record(keyed), await rig.metering.record(keyed)
    assert (first.event_id, first.seq, again.seq) == (again.event_id, 1, 2)
    await rig.delivery.drain()
    assert [total.events for total in (await rig.metering.summary()).rows] == [1]


async def test_a_disk_that_takes_nothing_is_an_error_and_no_acknowledgement(rig) -> None:
    await rig.metering.record(GOOD)
    pages = rig.spool._place.file._writer.execute("PRAGMA page_count").fetchone()[0]
    rig.spool._place.file._writer.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    with pytest.raises(UnavailableError):
        await rig.metering.record_many([GOOD | {"metadata": {"x": "y" * 30_000}}] * 10)
    assert rig.spool.depth == 1
