"""Asks plugins what was used, span by span, and records it; a span that is repeated after a crash counts once.

Which span comes next is ``domain.collection``'s. A job calls ``collect``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.collection import AHEAD, Progress, newest_point, next_span
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.services.plugins.books import Books

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from tapi_agent.domain.collection import Span
    from tapi_agent.domain.usage import Meter
    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.ports.collected import CollectedStore
    from tapi_agent.ports.hooks import Samplers, UsageSample
    from tapi_agent.ports.spool import Spool
    from tapi_agent.services.metering import Metering
    from tapi_agent.services.plugins.books import Key

    Draft = dict[str, object]

log = structlog.get_logger(__name__)

LOOK: Final = timedelta(minutes=1)
"""At the latest after that plugins are looked at again: there may be new meters, or the clock was set."""
_AT_ONCE: Final = 500


class Collecting:
    """Collects from all plugins at once, from each one meter after the other."""

    def __init__(
        self, *, samplers: Samplers, metering: Metering, spool: Spool, store: CollectedStore, clock: TrustedClock
    ) -> None:
        self._samplers = samplers
        self._metering = metering
        self._spool = spool
        self._books = Books(store)
        self._clock = clock
        self._failed: dict[Key, datetime] = {}

    async def collect(self) -> timedelta:
        """Ask for whatever is due; returns how long nothing will be.

        Raises ``UnavailableError`` when the disk takes nothing: the same spans are asked for again.
        """
        await self._books.open()
        meters: defaultdict[str, list[Meter]] = defaultdict(list)
        for plugin, meter in self._samplers.sampled():
            meters[plugin].append(meter)
        asking = (self._ask_all(plugin, own) for plugin, own in meters.items())
        for error in await asyncio.gather(*asking, return_exceptions=True):
            if error is not None:
                raise error
        return self._until_next(meter for own in meters.values() for meter in own)

    def _until_next(self, meters: Iterable[Meter]) -> timedelta:
        now = self._clock.now()
        return min([LOOK, *(newest_point(now, meter.every) + meter.every - now for meter in meters if meter.every)])

    async def _ask_all(self, plugin: str, meters: Iterable[Meter]) -> None:
        for meter in meters:
            await self._ask((plugin, meter.key), meter)

    async def _ask(self, key: Key, meter: Meter) -> None:
        """A meter that is off is as one that was never seen: what was used meanwhile is not made up for."""
        now, progress = self._clock.now(), self._books.read(key)
        if not self._is_recorded(meter):
            await self._books.forget(key)
        elif progress is None or progress.since > now + AHEAD:
            await self._books.write(key, Progress(since=now))
        elif meter.every:
            await self._catch_up(key, meter, newest_point(now, meter.every))

    def _is_recorded(self, meter: Meter) -> bool:
        """Whether an event on it would be taken: it is known and on, and there is a tenant to bill."""
        try:
            self._metering.preview({"event_type": meter.key, "quantity": 0})
        except InvalidInputError as error:
            log.debug("usage.not_collected", meter=meter.key, reason=str(error))
            return False
        return True

    async def _catch_up(self, key: Key, meter: Meter, newest: datetime) -> None:
        """Span after span up to ``newest``. A plugin that failed is not asked again before the next point."""
        while self._failed.get(key) != newest and (span := self._next(key, newest)):
            await self._books.write(key, Progress(since=span.since, asked=span.until))
            if await self._record(key, meter, span):
                await self._books.write(key, Progress(since=span.until))
            else:
                self._failed[key] = newest

    def _next(self, key: Key, newest: datetime) -> Span | None:
        progress = self._books.read(key)
        return None if progress is None else next_span(progress, newest=newest, floor=self._spool.dedupe_floor)

    async def _record(self, key: Key, meter: Meter, span: Span) -> bool:
        """Whether the plugin gave an answer of which every sample can be recorded, and all of them are."""
        plugin = key[0]
        samples = await self._samplers.sample(plugin, meter, span)
        if samples is None:
            return False
        drafts = [_draft(key, span, sample, place) for place, sample in enumerate(samples)]
        if flaw := await self._flaw(samples, drafts, span):
            await self._samplers.blame(plugin, f"{meter.key} from {span.since.isoformat()}: {flaw}")
            return False
        for some in _chunks(drafts):
            await self._metering.record_many(some)
        return True

    async def _flaw(self, samples: Sequence[UsageSample], drafts: Sequence[Draft], span: Span) -> str | None:
        """What is wrong with the first bad sample; looked for before any is recorded."""
        for place, (sample, draft) in enumerate(zip(samples, drafts, strict=True)):
            if sample.at.tzinfo is None or not span.since <= sample.at <= span.until:
                return f"sample {place} is at {sample.at.isoformat()}, not in the span that was asked for"
            try:
                self._metering.preview(draft)
            except InvalidInputError as error:
                return f"sample {place} cannot be recorded: {error}"
            if place % _AT_ONCE == 0:
                await asyncio.sleep(0)  # ten thousand in a row would hold up everybody else
        return None


def _draft(key: Key, span: Span, sample: UsageSample, place: int) -> Draft:
    """The event that a sample becomes: the same one whenever the same span is answered in the same way."""
    identity = [*key, span.since.isoformat(), sample.resource_id, sample.camera_id, place]
    return {
        "event_type": key[1],
        "resource_id": sample.resource_id,
        "camera_id": sample.camera_id,
        "quantity": sample.quantity,
        "event_time": sample.at,
        "dedupe_key": hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
    }


def _chunks(drafts: Sequence[Draft]) -> Iterator[Sequence[Draft]]:
    return (drafts[start : start + _AT_ONCE] for start in range(0, len(drafts), _AT_ONCE))
