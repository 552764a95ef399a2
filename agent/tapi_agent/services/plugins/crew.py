"""A task for each of a set of names that may grow while it runs, as plugins are loaded anew."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

K = TypeVar("K")


class Crew(Generic[K]):
    """Serves every name for good: one that is gone meanwhile may come back."""

    def __init__(self, names: Callable[[], Iterable[K]], serve: Callable[[K], Coroutine[object, object, None]]) -> None:
        self._names = names
        self._serve = serve
        self._news = asyncio.Event()

    def adopt(self) -> None:
        """There may be new names."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        served: set[K] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                self._news.clear()
                for name in set(self._names()) - served:
                    group.create_task(self._serve(name), name=f"serve {name}")
                    served.add(name)
                await self._news.wait()
