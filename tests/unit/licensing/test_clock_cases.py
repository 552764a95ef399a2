"""What accidents and tricks with the clock do to a license, by the real service: no life gained, none refused.

``taken`` is what a case takes of the life of a license nobody renews: nothing where the clock had been confirmed in
this boot, else what the wall clock was believed ahead, a day in total at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from tapi_agent.domain.license import LicenseState
from tapi_agent.domain.trusted_time import Mark
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)
Y1970, Y2099 = datetime(1970, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
NONE: Final = timedelta(0)


@dataclass(kw_only=True)
class Box:
    """A licensed box; ``ran`` is how long its machine was on, asleep included."""

    stage: object
    policy: dict[str, object]
    ran: timedelta = NONE

    async def run(self, passing: timedelta, *, asleep: bool = False) -> None:
        clock = self.stage.machine
        clock.suspend(passing) if asleep else clock.advance(passing)
        self.ran += passing
        await self.stage.licensing.reevaluate()

    async def step(self, by: timedelta | datetime) -> None:
        clock = self.stage.machine
        clock.set_wall(by if isinstance(by, datetime) else clock.wall() + by)
        await self.stage.licensing.reevaluate()

    async def reboot(self, *, off: timedelta = NONE, wall: datetime | None = None) -> None:
        await self.stage.clock.persist()
        self.stage.machine.reboot(off=off, wall=wall)
        await self.stage.boot("gate", **self.policy)
        await self.stage.licensing.reevaluate()

    async def life(self) -> timedelta:
        """How long it runs altogether until the license has expired."""
        while self.state is not LicenseState.EXPIRED:
            await self.run(HOUR)
        return self.ran

    @property
    def state(self) -> LicenseState:
        return self.stage.state("gate")


def step(by: timedelta | datetime) -> Callable[[Box], Awaitable[None]]:
    return lambda box: box.step(by)


def boot(**how: object) -> Callable[[Box], Awaitable[None]]:
    return lambda box: box.reboot(**how)


async def sleep(box: Box) -> None:
    await box.run(9 * HOUR, asleep=True)


async def back_again_and_again(box: Box) -> None:
    for _ in range(24):
        await box.run(HOUR)
        await box.step(-HOUR)


async def a_day_back_while_running(box: Box) -> None:
    await box.run(3 * HOUR)
    await box.step(-DAY)
    await box.run(3 * HOUR)


async def creep(box: Box) -> None:
    for _ in range(24):
        await box.reboot(wall=box.stage.clock.now() + 23 * HOUR)


async def creep_in_one_boot(box: Box) -> None:
    for _ in range(24):
        await box.step(23 * HOUR)


CASES: Final = [
    # what, taken once confirmed in this boot, taken otherwise
    ("set to 1970", step(Y1970), NONE, NONE),
    ("set to 2099", step(Y2099), NONE, DAY),
    ("an hour back", step(-HOUR), NONE, NONE),
    ("an hour ahead", step(HOUR), NONE, HOUR),
    ("a year back", step(-YEAR), NONE, NONE),
    ("a year ahead", step(YEAR), NONE, DAY),
    ("a day back, hours later", a_day_back_while_running, NONE, NONE),
    ("an hour back, again and again", back_again_and_again, NONE, NONE),
    ("24 times 23 hours ahead in one boot", creep_in_one_boot, NONE, DAY),
    ("suspend and resume", sleep, NONE, NONE),
    ("another boot id", boot(), NONE, NONE),
    ("boot at 1970", boot(wall=Y1970), NONE, NONE),
    ("boot at 2099", boot(wall=Y2099), DAY, DAY),
    ("boot an hour back", boot(wall=START - HOUR), NONE, NONE),
    ("boot an hour ahead", boot(wall=START + HOUR), HOUR, HOUR),
    ("boot a year back", boot(wall=START - YEAR), NONE, NONE),
    ("boot a year ahead", boot(wall=START + YEAR), DAY, DAY),
    ("24 boots of 23 hours ahead", creep, DAY, DAY),
    ("off for a night", boot(off=9 * HOUR), 9 * HOUR, 9 * HOUR),
    ("off for a month", boot(off=30 * DAY), DAY, DAY),  # the documented limit: beyond a day it does not count
]


@pytest.fixture(params=[True, False], ids=["confirmed", "unconfirmed"])
def confirmed(request, stage) -> bool:
    """Whether a time server was heard in this boot; either way time is right when it begins."""
    stage.mark.mark = Mark(at=START, boot_id="boot-1", boottime=HOUR)
    stage.machine.is_synchronized = request.param
    return request.param


async def classic(stage) -> Box:
    """Licensed by an unsigned reply; the service has just gone away."""
    await stage.settled("gate")
    stage.billing.offline()
    await stage.licensing.refresh()
    return Box(stage=stage, policy={})


async def air_gapped(stage) -> Box:
    """Licensed by a lease of 30 days; nobody is ever asked."""
    stage.keep_lease(stage.file, stage.lease("gate"))
    await stage.boot("gate", ask=False)
    return Box(stage=stage, policy={"ask": False})


LIVES: Final = {classic: 8 * DAY, air_gapped: 37 * DAY}


@pytest.mark.parametrize(
    ("happens", "once_confirmed", "otherwise"), [pytest.param(*case[1:], id=case[0]) for case in CASES]
)
@pytest.mark.parametrize("licensed", LIVES, ids=lambda how: how.__name__)
async def test_no_clock_gives_life_and_none_takes_more_than_a_day(
    stage, confirmed, licensed, happens, once_confirmed, otherwise
) -> None:
    box = await licensed(stage)
    stage.clock.now()
    await happens(box)
    assert box.state is not LicenseState.EXPIRED
    assert await box.life() == LIVES[licensed] - (once_confirmed if confirmed else otherwise)


@pytest.mark.usefixtures("confirmed")
@pytest.mark.parametrize("happens", [pytest.param(case[1], id=case[0]) for case in CASES])
async def test_whatever_the_clock_shows_a_good_answer_is_valid_at_once(stage, happens) -> None:
    box = await classic(stage)
    await happens(box)
    assert box.state in {LicenseState.VALID, LicenseState.OFFLINE, LicenseState.GRACE}
    stage.billing.online()
    await stage.licensing.refresh()
    assert box.state is LicenseState.VALID
