"""One suite for what is remembered of billing services: the fake and PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.postgres.usage_doubts import PostgresServiceMemory
from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.settlement import ServiceMemory
from tapi_agent.ports.usage import SyncRound
from tapi_agent.testing.records import MemoryServices

if TYPE_CHECKING:
    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.ports.usage import Memory

URL = "https://billing.example/api/v1"
SECOND = timedelta(seconds=1)
LEARNED = ServiceMemory(dedupes=True, dialect=Dialect.CLASSIC, max_bytes=77)
GOOD, BAD = SyncRound(took=2 * SECOND, synced=30), SyncRound(took=SECOND / 4, synced=1, error="503")


@pytest.fixture
def memory(store_database: Database | None) -> Memory:
    return PostgresServiceMemory(database=store_database) if store_database else MemoryServices()


async def test_a_new_service_is_unknown(memory: Memory) -> None:
    assert await memory.recall(URL) == ServiceMemory()
    assert await memory.status(URL) is None


async def test_what_was_learned_comes_back(memory: Memory) -> None:
    await memory.remember(URL, ServiceMemory(dedupes=True))
    await memory.remember(URL, LEARNED)
    assert await memory.recall(URL) == LEARNED
    assert await memory.recall("https://other.example") == ServiceMemory()


async def test_rounds_add_up(memory: Memory) -> None:
    for done in (GOOD, BAD, GOOD):
        await memory.note(URL, done)
    status = await memory.status(URL)
    assert status is not None
    assert (status.attempts, status.errors, status.events_synced) == (3, 1, 61)
    assert (status.last_duration, status.total_duration) == (2 * SECOND, 4.25 * SECOND)
    assert await memory.recall(URL) == ServiceMemory()


async def test_the_last_round_says_how_it_went(memory: Memory) -> None:
    await memory.note(URL, BAD)
    first = await memory.status(URL)
    assert first is not None
    assert (first.last_error, first.last_success_at) == ("503", None)
    await memory.note(URL, GOOD)
    second = await memory.status(URL)
    assert second is not None
    assert (second.last_error, second.last_success_at) == ("", second.last_attempt_at)
    await memory.note(URL, BAD)
    third = await memory.status(URL)
    assert third is not None
    assert third.last_success_at == second.last_success_at
    assert first.last_attempt_at < second.last_attempt_at < third.last_attempt_at


async def test_rounds_and_what_was_learned_do_not_disturb_each_other(memory: Memory) -> None:
    await memory.remember(URL, LEARNED)
    status = await memory.status(URL)
    assert status is not None
    assert (status.attempts, status.last_attempt_at, status.last_duration) == (0, None, None)
    await memory.note(URL, GOOD)
    assert await memory.recall(URL) == LEARNED
    await memory.remember(URL, ServiceMemory())
    status = await memory.status(URL)
    assert status is not None
    assert status.attempts == 1


async def test_without_a_service_nothing_is_noted(memory: Memory) -> None:
    await memory.note("", GOOD)
    assert await memory.status("") is None
