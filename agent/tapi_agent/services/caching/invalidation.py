"""Tells the other agents of a tenant what they must forget, and hears it from them. The daemon runs ``run`` as a task.

Messages of a channel are numbered. A gap, a number that went back (the store was flushed) and every new subscription
mean that something may have been missed: then everything counts as changed. What is missed without a sign is bounded
by the caches' time to live.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import orjson
import structlog

from tapi_agent.domain.backoff import CHANCE_BYTES, full_jitter
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.ports.cache import cache_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tapi_agent.ports.cache import Announcement
    from tapi_agent.services.caching.values import Surroundings

    Listener = Callable[[Sequence[str] | None], None]

log = structlog.get_logger(__name__)

_FIRST_RETRY: Final = timedelta(milliseconds=100)
_LONGEST_RETRY: Final = timedelta(milliseconds=500)
_ORIGIN_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidation:
    """``keys`` of ``namespace`` have changed; says the agent that chose ``origin`` when it started."""

    namespace: str
    keys: tuple[str, ...]
    origin: str


class Invalidator:
    """One for all caches of an agent, on the channel ``tapi:{tenant}:invalidate``."""

    def __init__(self, around: Surroundings) -> None:
        self._store = around.store
        self._channel = cache_key(around.tenant_id, "invalidate")
        self._entropy = around.entropy
        self._origin = around.entropy(_ORIGIN_BYTES).hex()
        self._listeners: defaultdict[str, list[Listener]] = defaultdict(list)
        self._generation: int | None = None
        self._failures = 0
        self._is_listening = False

    def listen(self, namespace: str, callback: Listener) -> None:
        """Call ``callback`` with the keys of ``namespace`` that another agent says have changed.

        ``None`` in place of keys: any may have. It must only set something going.
        """
        self._listeners[namespace].append(callback)

    async def publish(self, namespace: str, keys: Sequence[str]) -> None:
        """Tell the other agents that ``keys`` have changed; raises ``UnavailableError``, and then they do not know."""
        message = {"namespace": namespace, "keys": list(keys), "origin": self._origin}
        await self._store.publish(self._channel, orjson.dumps(message))

    async def run(self) -> None:
        """Listen until cancelled, again and again."""
        while True:
            try:
                await self._hear_all()
            except UnavailableError as error:
                self._deaf(error)
            await asyncio.sleep(self._wait().total_seconds())

    async def _hear_all(self) -> None:
        async with self._store.subscription(self._channel) as messages:
            if self._failures:
                log.info("invalidation.listening", channel=self._channel)
            self._is_listening, self._failures = True, 0
            self._generation = None
            self._all_changed()
            async for message in messages:
                self._hear(message)

    def _hear(self, message: Announcement) -> None:
        missed = self._generation is not None and message.generation != self._generation + 1
        self._generation = message.generation
        invalidation = _read(message.body)
        if missed or invalidation is None:
            self._all_changed()
        elif invalidation.origin != self._origin:
            for callback in self._listeners.get(invalidation.namespace, ()):
                callback(invalidation.keys)

    def _all_changed(self) -> None:
        for callbacks in self._listeners.values():
            for callback in callbacks:
                callback(None)

    def _deaf(self, error: UnavailableError) -> None:
        if self._is_listening:
            log.warning("invalidation.deaf", channel=self._channel, error=str(error))
        self._is_listening = False
        self._failures += 1

    def _wait(self) -> timedelta:
        return full_jitter(
            self._failures, first=_FIRST_RETRY, limit=_LONGEST_RETRY, entropy=self._entropy(CHANCE_BYTES)
        )


def _read(body: bytes) -> Invalidation | None:
    """What the message says, ``None`` when it is not one of ours."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    match message:
        case {"namespace": str(namespace), "keys": [*keys], "origin": str(origin)}:
            return Invalidation(namespace=namespace, keys=tuple(map(str, keys)), origin=origin)
        case _:
            return None
