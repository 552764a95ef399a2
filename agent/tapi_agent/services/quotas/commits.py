"""What reservations came to: each becomes one event, however often and from wherever it is committed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import InvalidInputError, RejectedError
from tapi_agent.domain.quantity import read_quantity
from tapi_agent.domain.usage import Refusal
from tapi_agent.services.quotas.pointers import pointing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from tapi_agent.services.metering import Metering, Recorded
    from tapi_agent.services.quotas.tickets import Use

DETAILS: Final = frozenset({"resource_id", "resource_type", "billable", "metadata"})
_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Commit:
    """What was committed first, and the recording of it."""

    actual: Decimal
    recording: asyncio.Task[Recorded]


class Commits:
    """Records commits through ``metering``, and remembers the latest, so that a repeat gets the same answer.

    One that is forgotten is recorded again, under the same event id: the ledger keeps it once.
    """

    def __init__(self, metering: Metering) -> None:
        self._metering = metering
        self._known: dict[str, _Commit] = {}

    async def commit(self, use: Use, actual: object, details: Mapping[str, object]) -> Recorded:
        """Record it, or return what recording it has returned. Raises what ``Metering.record`` raises."""
        with pointing({"#/quantity": "#/actual"}):
            quantity = read_quantity(actual)
            known = self._known.get(use.key) or self._begin(use, quantity, details)
            if known.actual != quantity:
                raise RejectedError(
                    f"this reservation was committed with {known.actual:f}, not {quantity:f}",
                    code="reservation_committed",
                    fix="a commit counts once; record what was used beyond it as an event of its own",
                )
            return await asyncio.shield(known.recording)

    def _begin(self, use: Use, actual: Decimal, details: Mapping[str, object]) -> _Commit:
        """Its caller may go away: the recording goes on, and the next who asks is told how it went."""
        if unknown := details.keys() - DETAILS:
            raise InvalidInputError(
                f"{min(unknown)!a} is no field of a commit",
                code=Refusal.UNKNOWN_FIELD,
                pointer=f"#/{min(unknown)}",
                fix=f"known: {', '.join(sorted(DETAILS))}",
            )
        recording = asyncio.ensure_future(self._metering.record({**details, **use.draft(actual)}))
        recording.add_done_callback(partial(self._settle, use.key))
        self._known[use.key] = _Commit(actual=actual, recording=recording)
        return self._known[use.key]

    def _settle(self, key: str, recording: asyncio.Task[Recorded]) -> None:
        """Forget one that failed, so that it can be tried again, and the oldest of too many."""
        if recording.cancelled() or recording.exception():
            self._known.pop(key, None)
        elif len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
