"""What agents of one tenant tell each other, and how often they ask because of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.evidence import is_news
from tapi_agent.domain.license import LicenseMode, LicenseStatus, Reason
from tapi_agent.services.licensing import Neighbors
from tapi_agent.testing.billing import GOOD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

HOUR = timedelta(hours=1)
SOLD = replace(GOOD, packs=("Retail",), sequence=2)


@dataclass
class Line:
    """In place of Redis: what is said is noted; ``others`` are heard by calling ``says``."""

    listeners: list[Callable[[Sequence[str] | None], None]] = field(default_factory=list)
    said: list[list[str]] = field(default_factory=list)
    is_down: bool = False
    refused: int = 0

    def listen(self, _namespace: str, callback: Callable[[Sequence[str] | None], None]) -> None:
        self.listeners.append(callback)

    async def publish(self, _namespace: str, keys: Sequence[str]) -> None:
        if self.is_down:
            self.refused += 1
            raise UnavailableError("nobody to be told")
        self.said.append(list(keys))

    def says(self, keys: Sequence[str] | None) -> None:
        for listener in self.listeners:
            listener(keys)


@pytest.fixture
def line() -> Line:
    return Line()


@asynccontextmanager
async def talking(stage, line: Line, *, rest: timedelta = HOUR) -> AsyncIterator[Neighbors]:
    """The loops of licensing and of its neighbors run; those who are told ask at once."""
    neighbors = Neighbors(
        licensing=stage.licensing, invalidator=line, connectivity=stage.connectivity, entropy=bytes, rest=rest
    )
    task = asyncio.create_task(neighbors.run())
    async with stage.running():
        yield neighbors
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mode": LicenseMode.TRIAL}, True),
        ({"status": LicenseStatus.PAST_DUE}, True),
        ({"packs": ("retail",)}, True),
        ({"denied": Reason.REVOKED}, True),
        ({"valid_until": HOUR}, True),
        ({"cameras_allowed": 4}, True),
        ({}, False),
        ({"verified_at": HOUR}, False),
        ({"sequence": 9}, False),
        ({"packs": ("b", "a")}, False),
    ],
    ids=lambda value: " ".join(map(str, value.items())) if isinstance(value, dict) else "",
)
def test_what_is_news(evidence, change, expected) -> None:
    known = replace(evidence, packs=("a", "b"))
    change = {name: evidence.verified_at + value if value is HOUR else value for name, value in change.items()}
    assert is_news(replace(known, **change), known) is expected


async def test_a_changed_word_is_told(stage, line, until) -> None:
    await stage.settled("gate", "yard")
    stage.billing.answer("gate", SOLD)
    async with talking(stage, line):
        await stage.licensing.refresh()
        await until(lambda: line.said)
    assert line.said == [["gate"]]


async def test_a_first_word_is_no_news_nor_is_the_same_again(stage, line) -> None:
    await stage.boot("gate")
    async with talking(stage, line):
        for _ in range(3):
            await stage.licensing.refresh()
            stage.machine.advance(HOUR)
    assert line.said == []


async def test_a_denial_that_has_to_be_heard_twice_is_told_when_it_counts(stage, line, until) -> None:
    await stage.settled("gate")
    stage.billing.deny("gate")
    async with talking(stage, line):
        await stage.licensing.refresh()
        assert line.said == []
        stage.machine.advance(HOUR)
        await until(lambda: line.said)
    assert line.said == [["gate"]]


async def test_who_is_told_asks_for_every_camera(stage, line, until) -> None:
    await stage.settled("gate", "yard")
    stage.billing.asked.clear()
    async with talking(stage, line):
        line.says(["a camera of another box"])
        await until(lambda: sorted(stage.asked()) == ["gate", "yard"])


async def test_that_something_may_have_been_missed_makes_nobody_ask(stage, line) -> None:
    await stage.settled("gate")
    async with talking(stage, line) as neighbors:
        line.says(None)
        assert not neighbors._ask_now.is_set()


async def test_who_is_told_again_and_again_asks_once_and_once_more_after_a_rest(stage, line, until) -> None:
    await stage.settled("gate")
    stage.billing.asked.clear()
    async with talking(stage, line, rest=timedelta(milliseconds=200)):
        line.says(["one"])
        await until(lambda: stage.asked() == ["gate"])
        for _ in range(50):
            line.says(["more"])
            await asyncio.sleep(0)
        assert stage.asked() == ["gate"]
        await until(lambda: stage.asked() == ["gate", "gate"])


async def test_what_is_found_because_others_told_is_not_told_back(stage, line, until) -> None:
    await stage.settled("gate")
    stage.billing.answer("gate", SOLD)
    async with talking(stage, line):
        line.says(["a camera of another box"])
        await until(lambda: stage.licensing.view("gate").evidence.packs == SOLD.packs)
        await asyncio.sleep(0)
    assert line.said == []


async def test_an_air_gapped_box_asks_nobody(stage, line, until) -> None:
    await stage.boot("gate", ask=False)
    async with talking(stage, line) as neighbors:
        line.says(["one"])
        await until(lambda: neighbors._asked_for_others)
        assert stage.licensing.refresh_due() == timedelta.max


async def test_without_redis_nobody_is_told_and_nothing_else_happens(stage, line, until) -> None:
    await stage.settled("gate")
    line.is_down = True
    stage.billing.answer("gate", SOLD, replace(GOOD, sequence=3))
    async with talking(stage, line):
        await stage.licensing.refresh()
        await until(lambda: line.refused)
        line.is_down = False
        await stage.licensing.refresh()
        await until(lambda: line.said)
    assert line.said == [["gate"]]
