"""Follows the recorded events with the sinks of plugins: in order, each from its own cursor, each at least once.

The cursor moves after the sink has taken a page, so a crash between the two gives it the page again. A sink that raises
is waited for, as is PostgreSQL. One that hangs takes its plugin with it: its cursor stays where it is until the plugin
is loaded anew.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import telemetry
from tapi_agent.domain.backoff import CHANCE_BYTES, full_jitter
from tapi_agent.domain.errors import TapiError
from tapi_agent.services.plugins.crew import Crew

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.ports.hooks import SinkOffer, Sinks
    from tapi_agent.ports.sinks import SinkLog
    from tapi_agent.ports.spool import Spool

log = structlog.get_logger(__name__)

AT_ONCE: Final = 500
_FIRST_WAIT: Final = timedelta(seconds=1)
_LONGEST_WAIT: Final = timedelta(minutes=5)
_LOOK: Final = timedelta(minutes=1)
"""At the latest after that a sink which has everything is looked after again."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """How a sink fares: ``behind`` counts what it has not taken (``None``: not known yet), ``problem`` is why not."""

    plugin: str
    behind: int | None = None
    problem: str = ""
    failures: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Exporting:
    """Serves every sink at its own pace."""

    def __init__(self, *, sinks: Sinks, log: SinkLog, spool: Spool, entropy: Callable[[int], bytes]) -> None:
        self._sinks = sinks
        self._log = log
        self._spool = spool
        self._entropy = entropy
        self._standings: dict[str, Standing] = {}
        self._crew = Crew(lambda: self._standings, self._serve)
        self.adopt()

    def adopt(self) -> None:
        """Plugins were loaded anew: there may be new sinks, and old ones may be back."""
        for offer in self._sinks.sinks():
            self._standings.setdefault(offer.key, Standing(plugin=offer.plugin))
        self._crew.adopt()
        self.wake()

    def wake(self) -> None:
        """What sinks wait for may be there: PostgreSQL, a plugin."""
        for standing in self._standings.values():
            standing.news.set()

    def drained(self) -> None:
        """The database has more events. A sink that rests after a failure rests on."""
        for standing in self._standings.values():
            if not standing.failures:
                standing.news.set()

    def standings(self) -> dict[str, Standing]:
        """How each sink fares, by plugin/sink."""
        return dict(self._standings)

    async def run(self) -> None:
        """Until cancelled: export."""
        await self._crew.run()

    async def _serve(self, key: str) -> None:
        standing = self._standings[key]
        while True:
            standing.news.clear()
            problem = await self._catch_up(key, standing)
            _note(key, standing, problem)
            with suppress(TimeoutError):
                await asyncio.wait_for(standing.news.wait(), self._pause(standing).total_seconds())

    async def _catch_up(self, key: str, standing: Standing) -> str:
        """Until the sink has everything: then empty, else why it has not."""
        offer = next((offer for offer in self._sinks.sinks() if offer.key == key), None)
        if offer is None:
            return "its plugin is disabled, or does not have it any more"
        try:
            await self._log.follow(key, stream=self._spool.stream, since_beginning=offer.since_beginning)
            return await self._export(offer, standing)
        except TapiError as error:
            return str(error)

    async def _export(self, offer: SinkOffer, standing: Standing) -> str:
        while page := await self._log.page(offer.key, limit=AT_ONCE):
            _show(offer.key, standing, page.behind)
            if page.events and (problem := await self._sinks.send(offer, page.events)):
                return problem
            await self._log.advance(offer.key, page)
            standing.failures = 0
        _show(offer.key, standing, 0)
        return ""

    def _pause(self, standing: Standing) -> timedelta:
        if not standing.failures:
            return _LOOK
        chance = self._entropy(CHANCE_BYTES)
        return full_jitter(standing.failures, first=_FIRST_WAIT, limit=_LONGEST_WAIT, entropy=chance)


def _show(key: str, standing: Standing, behind: int) -> None:
    standing.behind = behind
    telemetry.PLUGIN_SINK_BEHIND.labels(sink=key).set(behind)


def _note(key: str, standing: Standing, problem: str) -> None:
    """Log the first failure, and the first success after it."""
    if problem and not standing.problem:
        log.warning("sink.waits", sink=key, problem=problem, behind=standing.behind)
    elif standing.problem and not problem:
        log.info("sink.goes_on", sink=key)
    standing.problem = problem
    standing.failures = standing.failures + 1 if problem else 0
