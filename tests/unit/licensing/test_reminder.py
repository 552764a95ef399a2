from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tapi_agent.domain.ids import CameraId
from tapi_agent.domain.license import Durations, LicenseState, LicenseStatus
from tapi_agent.services.licensing.reminder import Reminder
from tapi_agent.testing.billing import GOOD
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from datetime import datetime

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
VALID, OFFLINE, GRACE, EXPIRED = LicenseState
MINUTE, SOON = timedelta(minutes=1), timedelta(seconds=1)


@pytest.fixture
async def silenced(stage) -> Reminder:
    """Two cameras in grace since now: the service has been silent for a day."""
    await stage.settled("gate", "yard")
    stage.billing.offline()
    await stage.licensing.refresh()
    await stage.pass_time(DAY)
    assert {stage.state("gate"), stage.state("yard")} == {GRACE}
    return Reminder(stage.licensing, stage.machine)


async def reminded(reminder: Reminder) -> list[dict[str, object]]:
    with capture_logs() as lines:
        await reminder.remind()
    return [line for line in lines if line["event"] == "license.in_grace"]


async def test_a_day_in_grace_is_one_warning_for_all_cameras(stage, silenced) -> None:
    assert not await reminded(silenced)
    await stage.pass_time(DAY)
    assert await reminded(silenced) == [
        {
            "event": "license.in_grace",
            "log_level": "warning",
            "cameras": 2,
            "expires_at": START + 8 * DAY,
            "reasons": ["OFFLINE_OVERRUN"],
        }
    ]


async def test_it_comes_once_a_day(stage, silenced) -> None:
    hours = []
    for hour in range(3 * 24 + 1):
        hours += [hour for _ in await reminded(silenced)]
        await stage.pass_time(HOUR)
    assert hours == [24, 48, 72]


async def test_a_day_asleep_counts(stage, silenced) -> None:
    await reminded(silenced)
    stage.machine.suspend(DAY)
    await stage.licensing.reevaluate()
    assert await reminded(silenced)


async def test_a_wall_clock_that_is_set_does_not(stage, silenced) -> None:
    await reminded(silenced)
    stage.machine.set_wall(stage.machine.wall() + 2 * DAY)
    await stage.licensing.reevaluate()
    assert stage.state("gate") is GRACE
    assert not await reminded(silenced)


async def test_a_new_process_begins_with_a_day_of_silence(stage, silenced) -> None:
    await reminded(silenced)
    await stage.pass_time(DAY)
    await stage.licensing.stop()
    again = Reminder(await stage.boot(), stage.machine)
    await stage.pass_time(MINUTE)  # until silence counts again
    assert stage.state("gate") is GRACE
    assert not await reminded(again)
    await stage.pass_time(DAY - SOON)
    assert not await reminded(again)
    await stage.pass_time(SOON)
    assert len(await reminded(again)) == 1


async def test_grace_that_was_left_and_entered_again_has_its_own_day(stage, silenced) -> None:
    await reminded(silenced)
    stage.billing.online()
    await stage.licensing.refresh()
    assert stage.state("gate") is VALID
    assert not await reminded(silenced)
    stage.billing.offline()
    await stage.licensing.refresh()
    await stage.pass_time(DAY)
    assert stage.state("gate") is GRACE
    assert not await reminded(silenced)


async def test_no_other_state_is_worth_a_word(stage) -> None:
    await stage.settled("gate")
    reminder = Reminder(stage.licensing, stage.machine)
    stage.billing.offline()
    await stage.licensing.refresh()
    for passing, state in ((timedelta(0), VALID), (2 * HOUR, OFFLINE), (9 * DAY, EXPIRED), (2 * DAY, EXPIRED)):
        await stage.pass_time(passing)
        assert stage.state("gate") is state
        assert not await reminded(reminder)


async def test_days_offline_within_the_allowance_are_not_either(stage) -> None:
    stage.build(durations=Durations(offline_allowance=99 * DAY))
    await stage.settled("gate")
    reminder = Reminder(stage.licensing, stage.machine)
    stage.billing.offline()
    await stage.licensing.refresh()
    for _ in range(3):
        await stage.pass_time(DAY)
        assert stage.state("gate") is OFFLINE
        assert not await reminded(reminder)


async def test_the_nearest_expiry_and_every_reason_are_named(stage) -> None:
    stage.billing.answer("gate", replace(GOOD, status=LicenseStatus.PAST_DUE))
    stage.billing.answer("yard", replace(GOOD, valid_until=START + 2 * HOUR))
    await stage.settled("gate", "lane")
    await stage.pass_time(HOUR)
    await stage.licensing.validate(CameraId("yard"), wait=MINUTE)
    await stage.pass_time(HOUR)
    reminder = Reminder(stage.licensing, stage.machine)
    await reminded(reminder)
    await stage.pass_time(DAY)
    (line,) = await reminded(reminder)
    assert (line["cameras"], line["reasons"]) == (2, ["LICENSE_LAPSED", "PAST_DUE"])
    assert [_expiry(stage, name) for name in ("gate", "yard")] == [START + 8 * DAY, START + 8 * DAY + HOUR]
    assert line["expires_at"] == START + 8 * DAY


async def test_without_an_end_in_sight_none_is_named(stage) -> None:
    stage.billing.answer("gate", replace(GOOD, status=LicenseStatus.PAST_DUE))
    await stage.settled("gate")
    reminder = Reminder(stage.licensing, stage.machine)
    await reminded(reminder)
    await stage.pass_time(9 * DAY)
    assert (_expiry(stage, "gate"), [line["expires_at"] for line in await reminded(reminder)]) == (None, [None])


def _expiry(stage, camera: str) -> datetime | None:
    change = stage.licensing.view(CameraId(camera)).standing.next_transition
    return change and change.at
