"""Batches: which events go together, and the bytes that stand for them on every try.

Owns the body of POST /usage/batch (4-billing-contract). Sealing happens inside a transaction of the store, which brings
the events and the end of the stream's chain; nothing here knows how they are kept.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.canonical import classic_text, extended_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.ids import BatchId, DeviceId, EventId, StreamId

MAX_EVENTS: Final = 1000
MAX_BYTES: Final = 1024 * 1024
_HEAD: Final = 1024
"""Room for the fields around the events."""


class Dialect(StrEnum):
    """Which fields a batch was written with."""

    EXTENDED = "extended"
    CLASSIC = "classic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One event of a batch."""

    event_id: EventId
    seq: int
    canonical: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The stream a batch belongs to, and the digest of the batch sealed before it (``None`` for the first)."""

    stream: StreamId
    device_id: DeviceId
    prev_sha256: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBatch:
    """An immutable batch: ``sha256`` is over the exact bytes of the events array in ``body``."""

    batch_id: BatchId
    chain: Chain
    dialect: Dialect
    members: tuple[Member, ...]
    sha256: bytes
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedBatch:
    """A batch in this agent's hands, to be sent and settled under ``fence``.

    ``attempts`` counts this one; ``nothing_stored`` how often in a row before this try the service said that it stored
    nothing, ``others_delivered`` whether it took other batches meanwhile. ``root_id`` is the batch it was split from;
    ``held`` says that each of its events was refused alone before.
    """

    batch_id: BatchId
    root_id: BatchId
    dialect: Dialect
    body: bytes
    event_ids: tuple[EventId, ...]
    attempts: int
    fence: int
    held: bool = False
    nothing_stored: int = 0
    others_delivered: bool = False


def seal(
    members: Sequence[Member], chain: Chain, *, batch_id: BatchId, dialect: Dialect, max_bytes: int = MAX_BYTES
) -> SealedBatch:
    """A batch of the first members, as many as fit into a body of ``max_bytes``; one at least, however large."""
    texts = _fitting([_text(member, dialect) for member in members], max_bytes)
    events = f"[{','.join(texts)}]"
    sha256 = hashlib.sha256(events.encode()).digest()
    chosen = tuple(members[: len(texts)])
    head = _head(chosen, chain, batch_id, sha256) if dialect is Dialect.EXTENDED else ""
    return SealedBatch(
        batch_id=batch_id,
        chain=chain,
        dialect=dialect,
        members=chosen,
        sha256=sha256,
        body=f'{{{head}"events":{events}}}'.encode(),
    )


def _text(member: Member, dialect: Dialect) -> str:
    match dialect:
        case Dialect.EXTENDED:
            return extended_text(member.canonical, member.seq)
        case Dialect.CLASSIC:
            return classic_text(member.canonical)


def _fitting(texts: Sequence[str], max_bytes: int) -> Sequence[str]:
    size = _HEAD
    for index, text in enumerate(texts):
        size += len(text.encode()) + 1
        if size > max_bytes and index:
            return texts[:index]
    return texts


def _head(members: Sequence[Member], chain: Chain, batch_id: BatchId, sha256: bytes) -> str:
    """The extension's fields, which say what the events are before they come."""
    fields = {
        "batch_id": str(batch_id),
        "device_id": chain.device_id,
        "stream": str(chain.stream),
        "first_seq": members[0].seq,
        "last_seq": members[-1].seq,
        "count": len(members),
        "sha256": sha256.hex(),
        "prev_sha256": chain.prev_sha256.hex() if chain.prev_sha256 else None,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))[1:-1] + ","
