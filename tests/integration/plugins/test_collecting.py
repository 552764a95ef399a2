"""Plugins are asked what was used, on a grid without gap or overlap, and what they say is counted once."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.plugins.conftest import inside, until
from tests.integration.usage.conftest import DEVICE, METERS, TENANT

from tapi_agent.adapters.files import FileCollected
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.plugin import UsageSample
from tapi_agent.services.metering import Metering
from tapi_agent.services.plugins import Collecting
from tapi_agent.testing.clock import START
from tapi_agent.testing.space import AlwaysRoom

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.integration.usage.conftest import Rig

    from tapi_agent.domain.collection import Progress

HOUR = timedelta(hours=1)
SAMPLER = """
    from datetime import timedelta
    from decimal import Decimal
    ASKED = []
    ANSWER = []

    @hookimpl
    def register_meters():
        return [Meter(key="sms_sent", unit="count", every=timedelta(hours=1))]

    @hookimpl
    def collect_usage(meter, since, until):
        ASKED.append((meter.key, since, until))
        yield UsageSample(resource_id="disk", camera_id="cam-1", quantity=Decimal("0.5"), at=until)
        yield UsageSample(resource_id="disk", camera_id="cam-1", quantity=Decimal("0.5"), at=until)
        for answer in ANSWER:
            yield answer(since, until)
"""


class Stand:
    """The collecting service of a plugin, and time."""

    def __init__(self, rig: Rig, plugins: Any, path: Path) -> None:
        self.rig = rig
        self.plugins = plugins
        self.path = path
        self.collecting = self.made()

    def made(self, store: FileCollected | None = None) -> Collecting:
        """As after a start."""
        return Collecting(
            samplers=self.plugins.calls,
            metering=self.rig.metering,
            spool=self.rig.spool,
            store=store or FileCollected(self.path),
            clock=self.rig.clock,
        )

    async def after(self, time: timedelta) -> timedelta:
        """Time passes, and the schedule does its work."""
        self.rig.clock.machine.advance(time)
        return await self.collecting.collect()

    async def counted(self) -> list[tuple[int, Decimal]]:
        """Number of events and their sum, as they would be billed."""
        await self.rig.delivery.drain()
        totals = self.rig.query("SELECT events, quantity FROM usage_totals WHERE meter = 'sms_sent' ORDER BY day")
        return [(row["events"], row["quantity"]) for row in totals]

    @property
    def asked(self) -> list[Any]:
        return [(since, until) for _, since, until in inside("sampler").ASKED]


@pytest.fixture
def stand(site: Any, load: Callable[..., Any], pipeline: Rig, tmp_path: Path) -> Stand:
    site.install("the-sampler", sampler=SAMPLER)
    state = tmp_path / "state"
    state.mkdir()
    return Stand(pipeline, load(), state / "collected.json")


class Deadly(FileCollected):
    """Never comes back from the save that is ``fatal``: the machine has lost its power."""

    def __init__(self, path: Path, *, fatal: Callable[[Progress], bool]) -> None:
        super().__init__(path)
        self._fatal = fatal
        self.died = False

    async def save(self, progress: Mapping[tuple[str, str], Progress]) -> None:
        mine = progress.get(("sampler", "sms_sent"))
        if mine is not None and self._fatal(mine):
            self.died = True
            await asyncio.Event().wait()
        await super().save(progress)


async def test_spans_follow_each_other_on_the_grid(stand: Stand) -> None:
    first = await stand.after(timedelta(0))
    assert (stand.asked, first) == ([], timedelta(minutes=1))
    assert timedelta(0) < await stand.after(timedelta(minutes=59, seconds=40)) <= timedelta(seconds=20)
    assert stand.asked == []
    await stand.after(timedelta(minutes=5))
    await stand.after(timedelta(minutes=5))
    await stand.after(3 * HOUR)
    (since, until), (then, newest) = stand.asked
    assert START < since < START + timedelta(seconds=1)
    assert (until, then, newest) == (START + HOUR, START + HOUR, START + 4 * HOUR)
    assert await stand.counted() == [(4, Decimal(2))]


async def test_what_was_collected_survives_a_restart(stand: Stand) -> None:
    await stand.after(timedelta(0))
    await stand.after(HOUR)
    stand.collecting = stand.made()
    await stand.after(timedelta(0))
    assert len(stand.asked) == 1
    await stand.after(HOUR)
    assert stand.asked[1] == (START + HOUR, START + 2 * HOUR)


@pytest.mark.parametrize(
    ("fatal", "untils", "counted"),
    [
        (lambda progress: progress.asked is not None, [3], (2, Decimal(1))),
        (lambda progress: progress.since >= START + HOUR, [1, 1, 3], (4, Decimal(2))),
    ],
    ids=["before it is asked", "between the record and the cursor"],
)
async def test_a_span_that_is_repeated_after_a_crash_counts_once(
    stand: Stand, fatal: Callable[[Progress], bool], untils: list[int], counted: tuple[int, Decimal]
) -> None:
    deadly = Deadly(stand.path, fatal=fatal)
    stand.collecting = stand.made(deadly)
    await stand.after(timedelta(0))
    dying = asyncio.create_task(stand.after(HOUR))
    await until(lambda: deadly.died)
    dying.cancel()
    stand.collecting = stand.made()
    await stand.after(2 * HOUR)
    assert [until for _, until in stand.asked] == [START + hours * HOUR for hours in untils]
    assert await stand.counted() == [counted]


async def test_no_more_than_a_month_is_made_up_for(stand: Stand) -> None:
    await stand.after(timedelta(0))
    await stand.after(timedelta(days=100))
    newest = START + timedelta(days=100)
    assert stand.asked == [(newest - timedelta(days=31), newest)]


async def test_a_clock_that_had_been_wrong_does_not_silence_a_meter(stand: Stand) -> None:
    await stand.after(timedelta(days=400))
    stand.rig.clock.machine.set_wall(START)
    await stand.after(timedelta(0))
    await stand.after(HOUR)
    assert [until for _, until in stand.asked] == [START + HOUR]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at": lambda since, _: since - timedelta(microseconds=1)}, "not in the span"),
        ({"at": lambda _, until: until + timedelta(microseconds=1)}, "not in the span"),
        ({"at": lambda since, _: since.replace(tzinfo=None)}, "not in the span"),
        ({"quantity": Decimal(-1)}, "negative"),
        ({"quantity": Decimal("NaN")}, "collect_usage"),
        ({"quantity": Decimal("1e30")}, "cannot be recorded"),
        ({"resource_id": "a\0b"}, "cannot be recorded"),
        ({"resource_id": 7}, "collect_usage"),
    ],
    ids=["too early", "too late", "no zone", "negative", "not a number", "too large", "a bad name", "no name"],
)
async def test_one_bad_sample_spoils_the_span(stand: Stand, change: dict[str, Any], said: str) -> None:
    def bad(since: Any, until: Any) -> UsageSample:
        at = change.get("at", lambda _, until: until)(since, until)
        return UsageSample(**{"resource_id": "disk", "quantity": Decimal(1)} | change | {"at": at})

    await stand.after(timedelta(0))
    inside("sampler").ANSWER.append(bad)
    await stand.after(HOUR)
    report = stand.plugins.report("sampler")
    assert (report.enabled, report.failures) == (True, 1)
    assert said in report.error
    await stand.after(timedelta(minutes=1))
    assert len(stand.asked) == 1
    assert await stand.counted() == []
    inside("sampler").ANSWER.clear()
    await stand.after(HOUR)
    assert stand.asked[1] == stand.asked[0]
    assert stand.asked[2] == (START + HOUR, START + 2 * HOUR)
    assert await stand.counted() == [(4, Decimal(2))]


async def test_a_disk_that_takes_nothing_is_not_the_plugin_s_fault(stand: Stand) -> None:
    await stand.after(timedelta(0))
    away = stand.path.parent.rename(stand.path.parent.with_name("away"))
    with pytest.raises(UnavailableError):
        await stand.after(HOUR)
    away.rename(stand.path.parent)
    await stand.after(timedelta(seconds=1))
    assert stand.plugins.report("sampler").failures == 0
    assert stand.asked == [(stand.asked[0][0], START + HOUR)]
    assert await stand.counted() == [(2, Decimal(1))]


async def test_a_meter_that_is_off_is_asked_from_the_day_it_is_on_again(stand: Stand) -> None:
    await stand.after(timedelta(0))
    on = stand.rig.metering
    stand.rig.metering = Metering(
        admission=AlwaysRoom(),
        spool=stand.rig.spool,
        ledger=stand.rig.stores.ledger,
        meters={"sms_sent": replace(METERS["sms_sent"], enabled=False)},
        clock=stand.rig.clock,
        device_id=DEVICE,
        default_tenant=TENANT,
        entropy=os.urandom,
    )
    stand.collecting = stand.made()
    await stand.after(5 * HOUR)
    stand.rig.metering = on
    stand.collecting = stand.made()
    await stand.after(HOUR)
    await stand.after(HOUR)
    assert [until for _, until in stand.asked] == [START + 7 * HOUR]
    assert stand.asked[0][0] > START + 6 * HOUR


async def test_of_an_answer_that_is_too_long_the_beginning_counts(stand: Stand) -> None:
    await stand.after(timedelta(0))
    inside("sampler").ANSWER.extend([lambda _, at: UsageSample(resource_id="x", quantity=Decimal(1), at=at)] * 11_000)
    await stand.after(HOUR)
    assert await stand.counted() == [(10_000, Decimal(9999))]
    assert stand.plugins.report("sampler").failures == 0


async def test_a_damaged_file_is_set_aside(stand: Stand) -> None:
    await stand.after(timedelta(0))
    stand.path.write_text('[{"plugin": "sampler", "meter": "sms_sent", "since": "yesterday", "asked": null}]')
    stand.collecting = stand.made()
    await stand.after(HOUR)
    assert stand.asked == []
    assert stand.path.with_name("collected.json.corrupt").exists()
