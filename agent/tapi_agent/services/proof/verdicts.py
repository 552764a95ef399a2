"""The operator's word on a batch of which nobody could find out whether it is stored; logged, with the reason."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.settlement import Settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.domain.ids import BatchId
    from tapi_agent.ports.proof import Letters
    from tapi_agent.ports.usage import Batches, Doubts

log = structlog.get_logger(__name__)

_AT_ONCE: Final = timedelta(0)


class Verdicts:
    """``wake`` has delivery look for what waits."""

    def __init__(self, *, letters: Letters, batches: Batches, doubts: Doubts, wake: Callable[[], None]) -> None:
        self._letters = letters
        self._batches = batches
        self._doubts = doubts
        self._wake = wake

    async def decide(self, batch_id: BatchId, *, stored: bool, reason: str, by: str) -> int:
        """Settle the batch as ``stored``, or let it go out again; returns how many events are in it.

        Raises ``RejectedError`` (``batch_not_in_doubt``) when it is not ambiguous, or not any more.
        """
        events = await self._letters.in_doubt(batch_id)
        if not events:
            raise _not_in_doubt(batch_id)
        log.warning("usage.verdict", batch=str(batch_id), stored=stored, reason=reason, by=by, events=len(events))
        if not stored:
            await self._doubts.send_again(batch_id, detail=f"not stored, says {by}: {reason}")
        elif not await self._batches.settle(batch_id, Settled(synced=frozenset(events)), delay=_AT_ONCE):
            raise _not_in_doubt(batch_id)
        self._wake()
        return len(events)


def _not_in_doubt(batch_id: BatchId) -> RejectedError:
    return RejectedError(
        f"batch {batch_id} is not in doubt, or was decided meanwhile",
        code="batch_not_in_doubt",
        fix="tapi-agent usage held shows those that are",
    )
