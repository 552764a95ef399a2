"""What an operator may ask about usage: is all of it there, does the service have it, what waits for a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from tapi_agent.client.connection import Connection

_LONG: Final = 600.0
"""Seconds for what looks at every row of a day, or asks the billing service for every event of one."""
_ROOM: Final = "/api/v1/usage"


class ProofCalls:
    """Part of ``AgentClient``. What takes long goes day by day: each call is one of them."""

    _connection: Connection

    def verify(self) -> dict[str, Any]:
        """The days there are to verify, and what is wrong with the whole."""
        return self._connection.call("GET", f"{_ROOM}/verify", patience=_LONG)

    def verify_day(self, day: str) -> dict[str, Any]:
        """The equations of one UTC day (``2027-03-01``), at one instant."""
        return self._connection.call("GET", f"{_ROOM}/verify/{_part(day)}", patience=_LONG)

    def verify_batches(self) -> Iterator[dict[str, Any]]:
        """All batches, some at a time."""
        after = ""
        while True:
            proof = self._connection.call("GET", f"{_ROOM}/verify/batches{_query(after=after)}", patience=_LONG)
            yield proof
            if not (after := proof["last"]):
                return

    def reconcile(self) -> dict[str, Any]:
        """The days there are to compare with the billing service."""
        return self._connection.call("GET", f"{_ROOM}/reconcile", patience=_LONG)

    def reconcile_day(self, day: str, *, resend: bool = False, every_id: bool = False) -> dict[str, Any]:
        """What the billing service has of a day beside what it must have; ``resend`` what it lacks.

        Raises ``RejectedError`` (``service_does_not_dedupe``) when that could bill twice.
        """
        path = f"{_ROOM}/reconcile/{_part(day)}{_query(every_id='true' if every_id else '')}"
        return self._connection.call("POST" if resend else "GET", path, patience=_LONG)

    def held(self) -> dict[str, Any]:
        """Batches that wait for a word."""
        return self._connection.call("GET", f"{_ROOM}/held")

    def decide(self, batch_id: str, *, stored: bool, reason: str) -> dict[str, Any]:
        """Your word on an ambiguous batch, which is logged: the service has stored it, or has not."""
        return self._connection.call("POST", f"{_ROOM}/held/{_part(batch_id)}", {"stored": stored, "reason": reason})

    def dead_letters(
        self, *, code: str | None = None, since: datetime | None = None, limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Dead letters in the order they died, each whole; ``limit`` of them at most."""
        asked, after, left = {"code": code, "since": since and since.isoformat()}, 0, limit
        while left is None or left > 0:
            page = self._connection.call("GET", f"{_ROOM}/dead-letters{_query(**asked, after=after)}", patience=_LONG)
            yield from page["letters"][:left]
            if not (after := page["last"] or 0):
                return
            left = None if left is None else left - len(page["letters"])

    def replay(
        self, event_ids: Sequence[str] | None = None, *, code: str | None = None, after: int = 0
    ) -> dict[str, Any]:
        """Let these events (100 at most), those with this code, or all wait again under their own ids.

        ``refused`` says of each that does not why; ``last``, unless it is ``None``, is ``after`` for the next call.
        """
        chosen = {"event_ids": list(event_ids)} if event_ids else {"code": code} if code else {"all": True}
        return self._connection.call("POST", f"{_ROOM}/replay", {**chosen, "after": after}, patience=_LONG)


def _part(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


def _query(**given: object) -> str:
    known = {name: value for name, value in given.items() if value}
    return "?" + urlencode(known, errors="surrogateescape") if known else ""
