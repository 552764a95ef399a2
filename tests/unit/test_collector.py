"""The garbage collector leaves alone what is there for good, and still finds what goes round in circles."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from tapi_agent import collector

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ring:
    """Refers to itself: nobody else can find out that it is garbage."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """As it was for the tests to come."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_what_is_there_is_never_looked_at_again() -> None:
    here = [Ring()]
    collector.spare()
    assert gc.get_freeze_count() > 0
    assert not any(one is here for one in gc.get_objects())


def test_garbage_of_later_goes_by_itself() -> None:
    collector.spare()
    gone: list[str] = []
    ring = Ring()
    weakref.finalize(ring, gone.append, "gone")
    del ring
    kept = []
    while not gone:
        kept.append([])
        assert len(kept) < 1_000_000
