"""Requests that arrive twice: who gets the first one's answer, and when a key is free again."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from tapi_agent.api import idempotency
from tapi_agent.api.idempotency import Once
from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.testing.clock import START

LATER = START + timedelta(seconds=60)


class Desk:
    """Answers each question with the next number; 0 holds for no time, the others a minute."""

    def __init__(self, *, first: int = 1) -> None:
        self.given = first - 1
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.once: Once[int] = Once(lambda answer: LATER if answer else None)

    async def find(self) -> int:
        self.given += 1
        await self.gate.wait()
        if self.closed:
            raise UnavailableError("closed")
        return self.given

    async def ask(self, key: str, question: str = "?", now: datetime = START) -> int:
        return await self.once.answer(key, question, now=now, find=self.find)


async def test_the_same_question_under_a_key_has_one_answer() -> None:
    desk = Desk()
    assert [await desk.ask("a"), await desk.ask("a"), await desk.ask("b")] == [1, 1, 2]


async def test_questions_that_come_at_once_wait_for_one_answer() -> None:
    desk = Desk()
    desk.gate.clear()
    asking = [asyncio.create_task(desk.ask("a")) for _ in range(3)]
    await asyncio.sleep(0)
    desk.gate.set()
    assert await asyncio.gather(*asking) == [1, 1, 1]


async def test_who_goes_away_leaves_the_answer_to_whoever_asks_again() -> None:
    desk = Desk()
    desk.gate.clear()
    gone = asyncio.create_task(desk.ask("a"))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    desk.gate.set()
    assert await desk.ask("a") == 1
    assert desk.given == 1


async def test_another_question_under_a_key_is_refused_while_the_answer_holds() -> None:
    desk = Desk()
    await desk.ask("a")
    with pytest.raises(RejectedError) as caught:
        await desk.ask("a", "!")
    assert (caught.value.code, desk.given) == ("idempotency_conflict", 1)
    assert caught.value.fix
    assert await desk.ask("a", "!", now=LATER) == 2


async def test_an_answer_that_holds_for_no_time_is_not_given_again() -> None:
    desk = Desk(first=0)
    assert [await desk.ask("a"), await desk.ask("a")] == [0, 1]


async def test_a_failure_is_no_answer() -> None:
    desk = Desk()
    desk.closed = True
    with pytest.raises(UnavailableError):
        await desk.ask("a")
    desk.closed = False
    assert await desk.ask("a") == 2


async def test_of_too_many_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "_MOST", 2)
    desk = Desk()
    assert [await desk.ask(key) for key in "abc"] == [1, 2, 3]
    assert [await desk.ask(key) for key in "bca"] == [2, 3, 4]
