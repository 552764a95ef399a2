"""Requests that arrive twice because the reply to the first was lost: the second gets the answer to the first.

In memory, for as long as the answer holds. Used by ``routes.quota``; usage events have their own key in the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from tapi_agent.domain.errors import RejectedError

T = TypeVar("T")
_MOST: Final = 10_000
"""Answers that are kept. Beyond that the oldest is forgotten, and a request that repeats it is a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked(Generic[T]):
    question: object
    answer: asyncio.Task[T]


class Once(Generic[T]):
    """Answers by idempotency key; ``until`` says how long one holds, ``None`` that it is not to be given again."""

    def __init__(self, until: Callable[[T], datetime | None]) -> None:
        self._until = until
        self._asked: dict[Hashable, _Asked[T]] = {}

    async def answer(
        self, key: Hashable, question: object, *, now: datetime, find: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """What ``find`` gives, or gave when the same was asked under this key.

        Raises ``RejectedError`` when something else was asked under it.
        """
        asked = self._asked.get(key)
        if asked is None or self._is_over(asked, now):
            asked = self._ask(key, question, find)
        if asked.question != question:
            raise RejectedError(
                "something else was asked before under this Idempotency-Key",
                code="idempotency_conflict",
                fix="make a fresh key for each request, and send it again only with the same request",
            )
        return await asyncio.shield(asked.answer)  # who goes away must not end it for whoever asks again

    def _ask(self, key: Hashable, question: object, find: Callable[[], Coroutine[Any, Any, T]]) -> _Asked[T]:
        self._asked.pop(key, None)
        if len(self._asked) >= _MOST:
            del self._asked[next(iter(self._asked))]
        asked = self._asked[key] = _Asked(question=question, answer=asyncio.create_task(find()))
        return asked

    def _is_over(self, asked: _Asked[T], now: datetime) -> bool:
        answer = asked.answer
        if not answer.done():
            return False
        until = None if answer.cancelled() or answer.exception() else self._until(answer.result())
        return until is None or until <= now
