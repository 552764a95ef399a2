"""The recorded events as the sinks of plugins follow them: each has a cursor of its own in every stream of this device.

Every call raises ``UnavailableError`` while the database gives no answer, and may then be repeated unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.ids import StreamId
    from tapi_agent.domain.usage import UsageEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkPage:
    """The next ``events`` for a sink, by seq; once it has taken them its cursor in ``stream`` moves to ``through``.

    There may be none: seqs whose events are kept no more. ``behind`` counts the seqs it has not taken, these included.
    """

    stream: StreamId
    through: int
    events: Sequence[UsageEvent]
    behind: int


class SinkLog(Protocol):
    """Events and cursors."""

    async def follow(self, sink: str, *, stream: StreamId | None, since_beginning: bool) -> None:
        """Put a cursor into every stream where the sink has none, and into ``stream``, whether it is known yet or not.

        Of a sink that was never seen at the present, or at the beginning of what is kept; of any other at the beginning
        of the stream, which is then a new one.
        """
        ...

    async def page(self, sink: str, *, limit: int) -> SinkPage | None:
        """What follows the cursor, at most ``limit`` events, older streams first; ``None`` when there is nothing."""
        ...

    async def advance(self, sink: str, page: SinkPage) -> None:
        """The sink has taken the page. A cursor never goes back."""
        ...
