"""The link to the billing service as sending sees it: when to try, when to rest, and whether a person should look.

Remembers nothing across a restart: the first try tells.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.backoff import full_jitter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.domain.settlement import Pause
    from tapi_agent.services.delivery.terms import DeliveryTerms

log = structlog.get_logger(__name__)

_ENTROPY: Final = 7
_LONGEST_WISH: Final = timedelta(hours=1)
"""Of what a service may ask for in Retry-After; a mistake in it must not silence a box for a year."""


class Sink:
    """Rests after failures; ``monotonic`` in seconds."""

    def __init__(
        self, *, terms: DeliveryTerms, monotonic: Callable[[], float], entropy: Callable[[int], bytes]
    ) -> None:
        self._terms = terms
        self._monotonic = monotonic
        self._entropy = entropy
        self._failures = 0
        self._until = 0.0
        self._detail = ""
        self._next_turn = 0.0
        self.pause: Pause | None = None

    @property
    def resting(self) -> bool:
        """Whether nothing should be sent right now."""
        return self._monotonic() < self._until

    @property
    def failing(self) -> bool:
        """Whether the last try failed for more than its own batch."""
        return self._failures > 0

    @property
    def trouble(self) -> str:
        """Why nothing should be sent right now; empty when something may be."""
        return self._detail if self.resting else ""

    async def turn(self) -> None:
        """Wait until the next request may go out, so that a backlog does not swamp the link."""
        now = self._monotonic()
        self._next_turn = max(self._next_turn, now) + self._terms.spacing.total_seconds()
        if (wait := self._next_turn - self._terms.spacing.total_seconds() - now) > 0:
            await asyncio.sleep(wait)

    def delivered(self) -> None:
        """The service has taken something."""
        if self.pause:
            log.info("usage.resumed", reason=self.pause.reason)
        self.pause, self._failures, self._until = None, 0, 0.0

    def failed(self, detail: str, *, retry_after: timedelta | None = None, pause: Pause | None = None) -> timedelta:
        """It took nothing, for the reason in ``detail``, and would take no other batch; returns how long to rest."""
        if pause and (self.pause is None or self.pause.reason is not pause.reason):
            log.error("usage.paused", reason=pause.reason, detail=pause.detail, fix=pause.reason.fix)
        self.pause, self._detail = pause or self.pause, detail
        self._failures += 1
        rest = max(self.wait(self._failures) / 2, heed(retry_after))
        self._until = self._monotonic() + rest.total_seconds()
        return rest

    def wake(self) -> None:
        """Something has changed: try now. A pause stays until something is delivered."""
        self._until = 0.0

    def wait(self, failures: int) -> timedelta:
        """How long to wait after so many failures, with full jitter."""
        first, longest = self._terms.first_wait, self._terms.longest_wait
        return full_jitter(failures, first=first, limit=longest, entropy=self._entropy(_ENTROPY))


def heed(retry_after: timedelta | None) -> timedelta:
    """How much of a service's wish to wait is granted."""
    return min(retry_after or timedelta(0), _LONGEST_WISH)
