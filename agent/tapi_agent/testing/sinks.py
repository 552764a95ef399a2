"""The recorded events as sinks follow them, in memory; held to the real thing by tests/contract/sinks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tapi_agent.ports.sinks import SinkPage
from tapi_agent.testing.licenses import Switch

if TYPE_CHECKING:
    from tapi_agent.domain.ids import StreamId
    from tapi_agent.domain.usage import UsageEvent


@dataclass(slots=True)
class _Stream:
    drained_seq: int = 0
    events: dict[int, UsageEvent] = field(default_factory=dict)


class FakeSinkLog(Switch):
    """``ports.sinks.SinkLog`` of one device."""

    def __init__(self) -> None:
        super().__init__()
        self._streams: dict[StreamId, _Stream] = {}
        self._cursors: dict[tuple[str, StreamId], int] = {}

    def drain(self, stream: StreamId, seq: int, event: UsageEvent | None = None) -> None:
        """The stream is in the database up to ``seq``, which ``event`` has; ``None``: a duplicate, or gone since."""
        known = self._streams.setdefault(stream, _Stream())
        known.drained_seq = max(known.drained_seq, seq)
        if event is not None:
            known.events[seq] = event

    async def follow(self, sink: str, *, stream: StreamId | None, since_beginning: bool) -> None:
        """Put a cursor into every stream where the sink has none, and into ``stream``."""
        self.check()
        seen = since_beginning or any((sink, known) in self._cursors for known in self._streams)
        for known, content in self._streams.items():
            self._cursors.setdefault((sink, known), 0 if seen else content.drained_seq)
        if stream is not None:
            self._cursors.setdefault((sink, stream), 0)

    async def page(self, sink: str, *, limit: int) -> SinkPage | None:
        """What follows the cursor."""
        self.check()
        left = [
            (stream, known, self._cursors[sink, stream])
            for stream, known in self._streams.items()
            if self._cursors.get((sink, stream), known.drained_seq) < known.drained_seq
        ]
        if not left:
            return None
        stream, known, after = left[0]
        through = min(after + limit, known.drained_seq)
        events = [known.events[seq] for seq in sorted(known.events) if after < seq <= through]
        if not events:
            later = (seq - 1 for seq in known.events if through < seq)
            through = min(later, default=known.drained_seq)
        behind = sum(one.drained_seq - cursor for _, one, cursor in left)
        return SinkPage(stream=stream, through=through, events=events, behind=behind)

    async def advance(self, sink: str, page: SinkPage) -> None:
        """The sink has taken the page."""
        self.check()
        self._cursors[sink, page.stream] = max(self._cursors[sink, page.stream], page.through)
