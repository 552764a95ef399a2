"""Dead letters: shown whole, and sent again under the same event id where that cannot bill twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tapi_agent.domain.ambiguity import Storage, weigh
from tapi_agent.domain.errors import IntegrityError, RejectedError
from tapi_agent.domain.replay import Obstacle, Refusal, obstacle_in, obstacle_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tapi_agent.domain.ids import EventId
    from tapi_agent.ports.billing import BillingService
    from tapi_agent.ports.proof import DeadLetter, HeldBatch, LetterQuery, Letters
    from tapi_agent.services.proof.service_facts import ServiceFacts

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What became of some letters; ``last`` is the last one looked at, ``None`` when there is none behind it."""

    replayed: Sequence[EventId]
    refused: Sequence[Refusal]
    last: int | None


class LetterBox:
    """``wake`` has delivery look for what waits."""

    def __init__(
        self, *, letters: Letters, billing: BillingService, facts: ServiceFacts, wake: Callable[[], None]
    ) -> None:
        self._letters = letters
        self._billing = billing
        self._facts = facts
        self._wake = wake

    async def find(self, query: LetterQuery) -> Sequence[DeadLetter]:
        """The letters asked for."""
        return await self._letters.find(query)

    async def held(self) -> Sequence[HeldBatch]:
        """Batches that wait for a word, oldest first."""
        return await self._letters.held()

    async def replay(self, query: LetterQuery) -> Replay:
        """Let the events of these letters wait again, or say of each why not; what was said before holds if it fails.

        Raises ``UnavailableError`` when the database, or a service that must be asked, gives no answer.
        """
        letters = await self._letters.find(query)
        dedupes = await self._facts.dedupes()
        replayed: list[EventId] = []
        refused = _not_found(query, letters)
        for letter in letters:
            if obstacle := await self._replay(letter, dedupes=dedupes):
                refusal = Refusal(event_id=letter.event_id, dead_letter_id=letter.dead_letter_id, obstacle=obstacle)
                refused.append(refusal)
            else:
                replayed.append(letter.event_id)
        if replayed:
            self._wake()
        full = len(letters) == query.limit
        return Replay(replayed=replayed, refused=refused, last=letters[-1].dead_letter_id if full else None)

    async def _replay(self, letter: DeadLetter, *, dedupes: bool) -> Obstacle | None:
        obstacle = obstacle_of(letter.code) or (None if dedupes else await self._weigh(letter))
        if obstacle is None and not await self._letters.revive(letter.dead_letter_id):
            obstacle = Obstacle.NO_ROW
        if obstacle is None:
            log.warning("usage.replayed", event_id=str(letter.event_id), code=letter.code)
        return obstacle

    async def _weigh(self, letter: DeadLetter) -> Obstacle | None:
        """What the sums of the service say of the letter's own instant."""
        span = await self._letters.span(letter.dead_letter_id)
        if span is None:
            return Obstacle.NO_ROW
        try:
            sums = await self._billing.usage_sums(span.tenant_id, start=span.first, end=span.last)
        except (RejectedError, IntegrityError):
            return obstacle_in(Storage.UNDECIDED)
        return obstacle_in(weigh([(span, sums)], partial=False))


def _not_found(query: LetterQuery, letters: Sequence[DeadLetter]) -> list[Refusal]:
    found = {letter.event_id for letter in letters}
    return [
        Refusal(event_id=event_id, dead_letter_id=None, obstacle=Obstacle.NO_LETTER)
        for event_id in dict.fromkeys(query.event_ids or ())
        if event_id not in found
    ]
