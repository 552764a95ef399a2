"""Watches one store: asks it again and again, and gets it ready each time it comes back.

Does not own what the answer means for others: that is ``services.connectivity``, which it tells. One instance for each
store, each a task of the daemon.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import TapiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tapi_agent.services.connectivity import Connectivity

_WHILE_UP: Final = timedelta(seconds=5)
_WHILE_DOWN: Final = timedelta(seconds=0.5)


async def _nothing() -> None:
    """There is nothing to get ready."""


class StoreWatch:
    """Keeps ``name`` known: ``probe`` raises while it is down; ``prepare`` runs once after each time it comes up.

    A store that came back may be another one (wiped, restored, failed over), so it is prepared again: migrations are
    checked, and only then does it count as up. ``confirm`` raises when that has happened to one that was never missed.
    """

    def __init__(
        self,
        name: str,
        *,
        probe: Callable[[], Awaitable[object]],
        prepare: Callable[[], Awaitable[object]] = _nothing,
        confirm: Callable[[], Awaitable[object]] = _nothing,
        connectivity: Connectivity,
    ) -> None:
        self._name = name
        self._probe = probe
        self._prepare = prepare
        self._confirm = confirm
        self._connectivity = connectivity
        self._prepared = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep((_WHILE_UP if self._prepared else _WHILE_DOWN).total_seconds())

    async def look(self) -> None:
        """Ask once and tell connectivity."""
        try:
            await self._probe()
            await (self._confirm() if self._prepared else self._prepare())
        except TapiError as error:
            self._prepared = False
            self._connectivity.failed(self._name, error)
        else:
            self._prepared = True
            self._connectivity.succeeded(self._name)
