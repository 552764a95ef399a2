"""Tells plugins what was recorded and delivered, after the fact and never at its expense.

Every listener has a queue of its own, which is bounded: what does not fit is dropped and counted. A slow plugin loses
events; recording and the other plugins do not notice it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from itertools import islice
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import telemetry
from tapi_agent.ports.hooks import Hearing
from tapi_agent.services.plugins.crew import Crew

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.domain.delivery import WireBatch
    from tapi_agent.domain.usage import UsageEvent
    from tapi_agent.ports.hooks import Heard, Listeners

log = structlog.get_logger(__name__)

ROOM: Final = {Hearing.RECORDED: 10_000, Hearing.DELIVERED: 100}
"""How many may wait for one plugin. A batch may be a megabyte."""
AT_ONCE: Final = 500
Listener = tuple[str, Hearing]


class Telling:
    """The listeners' queues; ``recorded`` and ``delivered`` fill them, ``run`` empties them."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._queues: dict[Listener, _Queue] = {}
        self._crew = Crew(lambda: self._queues, self._serve)
        self.adopt()

    def recorded(self, events: Sequence[UsageEvent]) -> None:
        """These events are durable. Neither waits nor raises."""
        self._put(Hearing.RECORDED, events)

    def delivered(self, batch: WireBatch) -> None:
        """This batch is settled. Neither waits nor raises."""
        self._put(Hearing.DELIVERED, [batch])

    def adopt(self) -> None:
        """Plugins were loaded anew: from here on those that are new hear too."""
        for hearing in Hearing:
            for plugin in self._listeners.listening(hearing):
                self._queues.setdefault((plugin, hearing), _Queue(ROOM[hearing]))
        self._crew.adopt()

    def dropped(self) -> Mapping[str, int]:
        """What each plugin was never told of, since the start."""
        lost: Counter[str] = Counter()
        for (plugin, _), queue in self._queues.items():
            lost[plugin] += queue.lost
        return lost

    async def run(self) -> None:
        """Until cancelled: tell."""
        await self._crew.run()

    def _put(self, hearing: Hearing, items: Sequence[Heard]) -> None:
        for (plugin, heard), queue in self._queues.items():
            if heard is hearing and (lost := queue.put(items)):
                telemetry.PLUGIN_EVENTS_DROPPED.labels(plugin=plugin, hook=hearing).inc(lost)
                if not queue.overflowing:
                    log.warning("plugin.events_dropped", plugin=plugin, hook=hearing, waiting=len(queue))
                queue.overflowing = True

    async def _serve(self, listener: Listener) -> None:
        plugin, hearing = listener
        queue = self._queues[listener]
        while True:
            queue.drop(await self._listeners.tell(plugin, hearing, await queue.head()))


class _Queue:
    """What waits for one listener; ``lost`` counts what found no room, ``overflowing`` until it is empty again."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._waiting: deque[Heard] = deque()
        self._filled = asyncio.Event()
        self.lost = 0
        self.overflowing = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, items: Sequence[Heard]) -> int:
        """Keep as many as fit; returns how many did not."""
        taken = items[: self._room - len(self)]
        self._waiting.extend(taken)
        self._filled.set()
        self.lost += len(items) - len(taken)
        return len(items) - len(taken)

    async def head(self) -> Sequence[Heard]:
        """The oldest, which stay until they are dropped."""
        await self._filled.wait()
        return list(islice(self._waiting, AT_ONCE))

    def drop(self, count: int) -> None:
        """The oldest ``count`` are done with."""
        for _ in range(count):
            self._waiting.popleft()
        if not self._waiting:
            self._filled.clear()
            self.overflowing = False
