from __future__ import annotations

import asyncio

import pytest

from tapi_agent.domain.errors import ConfigurationError, TapiError, UnavailableError
from tapi_agent.services.connectivity import POSTGRES, Connectivity
from tapi_agent.services.health import StoreWatch
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.clock import FakeClock


class NoMark:
    async def load(self) -> None:
        return None

    async def save(self, mark: object) -> None:
        raise UnavailableError(f"{mark} cannot be kept")


class Store:
    """A store that can be down, and counts how often it was made ready."""

    def __init__(self) -> None:
        self.trouble: TapiError | None = None
        self.migration: TapiError | None = None
        self.swapped: TapiError | None = None
        self.prepared = 0
        self.asked = asyncio.Event()

    async def ping(self) -> None:
        self.asked.set()
        if self.trouble:
            raise self.trouble

    async def confirm(self) -> None:
        if self.swapped:
            raise self.swapped

    async def migrate(self) -> None:
        self.prepared += 1
        self.swapped = None
        if self.migration:
            raise self.migration


@pytest.fixture
def connectivity() -> Connectivity:
    return Connectivity(clock=Timekeeper(clock=FakeClock(), store=NoMark()), billing=FakeBilling())


async def test_a_store_is_made_ready_once_each_time_it_comes_up(connectivity: Connectivity) -> None:
    store = Store()
    watch = StoreWatch(POSTGRES, probe=store.ping, prepare=store.migrate, connectivity=connectivity)
    await watch.look()
    await watch.look()
    assert (store.prepared, connectivity.report()[POSTGRES].up) == (1, True)
    store.trouble = UnavailableError("gone", fix="look for it")
    await watch.look()
    report = connectivity.report()[POSTGRES]
    assert (report.up, report.detail, report.fix) == (False, "gone", "look for it")
    store.trouble = None
    await watch.look()
    assert (store.prepared, connectivity.report()[POSTGRES].up) == (2, True)


async def test_a_store_that_was_emptied_without_being_missed_is_made_ready_again(connectivity: Connectivity) -> None:
    store, recoveries = Store(), []
    connectivity.on_recovery(POSTGRES, lambda: recoveries.append(store.prepared))
    watch = StoreWatch(
        POSTGRES, probe=store.ping, prepare=store.migrate, confirm=store.confirm, connectivity=connectivity
    )
    await watch.look()
    store.swapped = UnavailableError("emptied")
    await watch.look()
    assert (store.prepared, connectivity.report()[POSTGRES].detail) == (1, "emptied")
    await watch.look()
    assert (store.prepared, connectivity.report()[POSTGRES].up) == (2, True)
    assert recoveries[-1] == 2


async def test_a_store_that_cannot_be_made_ready_is_down_and_tried_again(connectivity: Connectivity) -> None:
    store = Store()
    store.migration = ConfigurationError("migration 0002 was edited", fix="restore the file")
    watch = StoreWatch(POSTGRES, probe=store.ping, prepare=store.migrate, connectivity=connectivity)
    await watch.look()
    assert connectivity.report()[POSTGRES].detail == "migration 0002 was edited"
    store.migration = None
    await watch.look()
    assert connectivity.report()[POSTGRES].up is True


async def test_it_looks_until_it_is_canceled(connectivity: Connectivity) -> None:
    store = Store()
    running = asyncio.create_task(StoreWatch(POSTGRES, probe=store.ping, connectivity=connectivity).run())
    async with asyncio.timeout(5):
        await store.asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert connectivity.report()[POSTGRES].up is True
