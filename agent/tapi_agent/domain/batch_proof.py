"""Whether a batch is still what was sealed: the digest over its events, its body, and the events themselves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.batch import Chain, Dialect, Member, seal
from tapi_agent.domain.proof import Fault, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tapi_agent.domain.ids import BatchId, DeviceId, StreamId

_EVENTS: Final = b'"events":['
_NO_LIMIT: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBatch:
    """A row of usage_batches as it is today; ``members`` are the events that name it, sealed or finished."""

    batch_id: BatchId
    stream: StreamId
    device_id: DeviceId
    dialect: Dialect
    state: str
    events: int
    sha256: bytes
    prev_sha256: bytes | None
    body: bytes | None
    members: Sequence[Member]

    def findings(self) -> Iterator[Finding]:
        """What is wrong with it: one finding at most."""
        if detail := self._wrong():
            yield Finding(fault=Fault.BATCH_DIFFERS, subject=f"batch {self.batch_id}", detail=detail)

    def _wrong(self) -> str:
        if self.body is not None:
            return self._open(self.body)
        return self._finished()

    def _open(self, body: bytes) -> str:
        """On its way: body, digest and events are all there."""
        if hashlib.sha256(_array(body)).digest() != self.sha256:
            return "its body is not the one that was sealed: the digest differs"
        if len(self.members) != self.events:
            return f"{self.events} events were sealed, {len(self.members)} are there"
        return "" if self._resealed()[1] == body else "its events are not those in its body"

    def _finished(self) -> str:
        """Settled: as long as all of its events are there, they still make the digest."""
        if self.state != "settled" or len(self.members) != self.events:
            return ""
        return "" if self._resealed()[0] == self.sha256 else "its events are not those that were delivered"

    def _resealed(self) -> tuple[bytes, bytes]:
        chain = Chain(stream=self.stream, device_id=self.device_id, prev_sha256=self.prev_sha256)
        made = seal(self.members, chain, batch_id=self.batch_id, dialect=self.dialect, max_bytes=_NO_LIMIT)
        return made.sha256, made.body


def _array(body: bytes) -> bytes:
    """The exact bytes of the events array; quotes in names before it are escaped, so its mark is the first."""
    start = body.find(_EVENTS)
    return body[start + len(_EVENTS) - 1 : -1] if start >= 0 else b""
