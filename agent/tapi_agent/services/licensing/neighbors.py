"""What agents of one tenant tell each other: that a word has changed, so that the others ask before they are due.

It is a hint, and no evidence: whoever hears it asks the service itself. A hint that is lost costs nothing but the time
until the next refresh.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.backoff import CHANCE_BYTES, fraction
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.services.connectivity import REDIS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.services.caching import Invalidator
    from tapi_agent.services.connectivity import Connectivity
    from tapi_agent.services.licensing.service import Licensing

NAMESPACE: Final = "license"
_SPREAD: Final = timedelta(milliseconds=250)
"""Those who hear the same do not ask all at once."""


class Neighbors:
    """Tells of news about our cameras, and has ours asked for when others tell, once in ``rest`` at most."""

    def __init__(
        self,
        *,
        licensing: Licensing,
        invalidator: Invalidator,
        connectivity: Connectivity,
        entropy: Callable[[int], bytes],
        rest: timedelta = timedelta(minutes=1),
    ) -> None:
        self._licensing = licensing
        self._invalidator = invalidator
        self._connectivity = connectivity
        self._entropy = entropy
        self._rest = rest
        self._news: set[CameraId] = set()
        self._tell_now, self._ask_now = asyncio.Event(), asyncio.Event()
        self._asked_for_others = False
        licensing.on_news(self._note)
        invalidator.listen(NAMESPACE, self._hear)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._telling(), name="telling neighbors")
            group.create_task(self._asking(), name="asking for neighbors")

    def _note(self, camera_id: CameraId) -> None:
        """What is found because others told is old to them: passed on, it would come back for ever."""
        if not self._asked_for_others:
            self._news.add(camera_id)
            self._tell_now.set()

    def _hear(self, cameras: Sequence[str] | None) -> None:
        """No keys: something may have been missed. That is no hint: all would ask for all whenever Redis comes back."""
        if cameras:
            self._ask_now.set()

    async def _telling(self) -> None:
        while True:
            await self._tell_now.wait()
            self._tell_now.clear()
            news, self._news = sorted(self._news), set()
            try:
                await self._invalidator.publish(NAMESPACE, news)
            except UnavailableError as error:
                self._connectivity.failed(REDIS, error)

    async def _asking(self) -> None:
        while True:
            await self._ask_now.wait()
            await asyncio.sleep((_SPREAD * fraction(self._entropy(CHANCE_BYTES))).total_seconds())
            self._ask_now.clear()
            self._asked_for_others = True
            self._licensing.ask_again()
            await asyncio.sleep(self._rest.total_seconds())
            self._asked_for_others = False
