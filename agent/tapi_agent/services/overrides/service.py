"""When to ask about which feature: once somebody is interested, and again when the word on it is too old.

Implements ``ports.entitlements.FeatureWords``: a lookup never waits. The daemon runs ``start`` and ``run``; whoever
sees the license change calls ``wake``. A word is kept until another comes: stale beats absent (ADR 0071).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.backoff import CHANCE_BYTES, fraction, full_jitter
from tapi_agent.services.connectivity import BILLING
from tapi_agent.services.overrides.agenda import Agenda
from tapi_agent.services.overrides.book import Book
from tapi_agent.services.overrides.inquiry import Inquiry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tapi_agent.domain.ids import TenantId
    from tapi_agent.domain.override import Override
    from tapi_agent.ports.billing import BillingService
    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.ports.overrides import OverrideStore
    from tapi_agent.ports.quotas import QuotaWords
    from tapi_agent.services.connectivity import Connectivity
    from tapi_agent.services.overrides.inquiry import Findings

_SPREAD: Final = 0.1
"""Devices that started together ask again between 100 % and 110 % of the age, each at its own point."""
_LOOK: Final = timedelta(seconds=10)
"""Longest time between two looks at the trusted clock, which may jump."""
_REST: Final = timedelta(seconds=1)
"""Between two rounds: what changes within it is asked about together."""
_FIRST_PAUSE: Final = timedelta(seconds=1)
_LONGEST_QUIET: Final = timedelta(minutes=15)
_NO_TIME: Final = timedelta(0)


class Overrides:
    """The words on single features of one tenant.

    ``asks`` False: nothing is asked, and no word counts. ``in_force`` tells whether the service would answer for a
    license that stands. ``meter_of`` is the meter that the use of a feature runs on; ``fresh`` how old a word may
    become; ``entropy(n)`` gives n random bytes.
    """

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        asks: bool,
        tenant_id: TenantId,
        billing: BillingService,
        connectivity: Connectivity,
        clock: TrustedClock,
        store: OverrideStore,
        quotas: QuotaWords,
        in_force: Callable[[], bool],
        meter_of: Callable[[str], str | None],
        fresh: timedelta,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._asks = asks
        self._inquiry = Inquiry(
            tenant_id=tenant_id, billing=billing, connectivity=connectivity, quotas=quotas, meter_of=meter_of
        )
        self._connectivity = connectivity
        self._clock = clock
        self._in_force = in_force
        self._fresh = fresh
        self._entropy = entropy
        self._book = Book(store)
        self._agenda = Agenda(fresh=fresh * (1 + _SPREAD * fraction(entropy(CHANCE_BYTES))), meter_of=meter_of)
        self._failures = 0
        self._quiet = _NO_TIME
        self._now = asyncio.Event()

    @property
    def generation(self) -> int:
        """Rises whenever the effect of a word has changed."""
        return self._book.generation

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever ``generation`` has risen."""
        self._book.on_change(listener)

    def view(self) -> Mapping[str, Override]:
        """The words so far, by feature; a shared table that is never changed in place."""
        return self._book.words

    def interested(self, feature: str) -> None:
        """From now on the service is asked about it: at once, unless it has just given no answer to anything."""
        word = self._book.words.get(feature)
        if self._agenda.add(feature, word.asked_at if word else None) and not self._failures:
            self._now.set()

    def wake(self) -> None:
        """Ask about everything anew: the license has changed, or whatever else the words may depend on."""
        self._agenda.all_due()
        self._now.set()

    async def start(self) -> None:
        """Know the words of the last run."""
        if self._asks:
            await self._book.load()
            self._connectivity.on_recovery(BILLING, self._now.set)

    async def run(self) -> None:
        """Until cancelled: ask when due."""
        if not self._asks:
            await asyncio.Event().wait()
        while True:
            wait = await self.ask()
            await asyncio.sleep(self._quiet.total_seconds())
            with suppress(TimeoutError):
                async with asyncio.timeout(wait.total_seconds()):
                    await self._now.wait()
            self._now.clear()

    async def ask(self) -> timedelta:
        """Ask about what is due and take over what comes; returns when to look again."""
        self._quiet, now = _NO_TIME, self._clock.now()
        due = self._agenda.due(now)
        if not due or not self._in_force():
            return min(self._agenda.wait(now) or _LOOK, _LOOK)
        self._agenda.asking(due, now)
        found = await self._inquiry.ask(due, now)
        if self._in_force():  # else it says nothing: without a license the service says no to everything
            await self._take_over(found)
        self._agenda.all_due(set(due) - found.answered())
        return self._pause(found)

    async def _take_over(self, found: Findings) -> None:
        words = found.words
        denials = {feature for feature, word in words.items() if self._book.is_new_denial(word)}
        if denials and not await self._inquiry.license_stands():  # the service may know that before licensing does
            words = {feature: word for feature, word in words.items() if feature not in denials}
        self._book.change(words, gone=found.unknown)
        await self._inquiry.tell(found)
        await self._book.keep()

    def _pause(self, found: Findings) -> timedelta:
        """How long to wait for a reason to ask; for ``_quiet`` the service is left alone whatever the reason."""
        self._quiet = _REST
        if found.silence is None:
            self._failures = 0
            return _NO_TIME
        self._failures += 1
        self._quiet = min(max(found.silence.retry_after or _REST, _REST), _LONGEST_QUIET)
        return full_jitter(self._failures, first=_FIRST_PAUSE, limit=self._fresh, entropy=self._entropy(CHANCE_BYTES))
