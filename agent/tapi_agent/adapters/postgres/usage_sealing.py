"""Sealing events into batches within a transaction: rows, membership and the stream's chain of digests change together.

What a batch looks like is ``domain.batch``'s; who asks for one is ``usage_batches`` and ``usage_roots``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.batch import MAX_BYTES, Chain, Dialect, Member, seal
from tapi_agent.domain.ids import BatchId, random_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

    from tapi_agent.domain.batch import SealedBatch
    from tapi_agent.domain.ids import StreamId
    from tapi_agent.ports.clock import TrustedClock

SQL: Final = load_queries("usage_batches")
NO_DELAY: Final = timedelta(0)
_ENTROPY: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a batch comes from: ``root_id`` and ``parent_id`` are ``None`` for one that was split from no other.

    ``tried``: its events have just been sent in vain, so others go first; ``held``: each of them was refused alone.
    """

    root_id: BatchId | None = None
    parent_id: BatchId | None = None
    attempts: int = 0
    delay: timedelta = NO_DELAY
    tried: bool = False
    held: bool = False


class BatchIds:
    """Makes batch ids: by trusted time, so that older batches sort first."""

    def __init__(self, *, clock: TrustedClock, entropy: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._entropy = entropy

    def new(self) -> BatchId:
        """The next one."""
        return BatchId(random_id(self._clock.now(), self._entropy(_ENTROPY)))


class Sealer:
    """Seals within the transaction of ``connection``, which holds the lock on the stream's row."""

    def __init__(self, connection: AsyncConnection[DictRow], ids: BatchIds, *, dialect: Dialect) -> None:
        self._connection = connection
        self._ids = ids
        self._dialect = dialect

    async def seal_some(
        self, members: Sequence[Member], chain: Chain, origin: Origin, *, max_bytes: int = MAX_BYTES
    ) -> SealedBatch:
        """A batch of as many of the members as fit; its row and the end of the chain are written, membership is not."""
        batch = seal(members, chain, batch_id=self._ids.new(), dialect=self._dialect, max_bytes=max_bytes)
        await self._connection.execute(SQL.insert_batch, _row(batch, origin))
        await self._connection.execute(SQL.advance_chain, {"stream": chain.stream, "sha256": batch.sha256})
        return batch

    async def reseal(
        self, groups: Iterable[Sequence[Member]], stream: StreamId, origin: Origin, *, sources: Sequence[BatchId]
    ) -> None:
        """Batches of each group, in the place of ``sources``."""
        chain = await chain_of(self._connection, stream)
        for group in groups:
            left = group
            while left:
                batch = await self.seal_some(left, chain, origin)
                taken = {"batch_id": batch.batch_id, "sources": sources, "seqs": seqs(batch)}
                await self._connection.execute(SQL.take_over, taken)
                chain = replace(chain, prev_sha256=batch.sha256)
                left = left[len(batch.members) :]


async def chain_of(connection: AsyncConnection[DictRow], stream: StreamId) -> Chain:
    """The end of a stream's chain, locked until the transaction ends."""
    cursor = await connection.execute(SQL.chain_of_stream, {"stream": stream})
    return chain((await cursor.fetchall())[0])


def chain(row: DictRow) -> Chain:
    """The end of a chain from its row."""
    return Chain(stream=row["stream"], device_id=row["device_id"], prev_sha256=row["sealed_sha256"])


def members(rows: Iterable[DictRow]) -> list[Member]:
    """Events of a batch from their rows."""
    return [Member(event_id=row["event_id"], seq=row["seq"], canonical=row["canonical"]) for row in rows]


def seqs(batch: SealedBatch) -> list[int]:
    """The places of a batch's events."""
    return [member.seq for member in batch.members]


def _row(batch: SealedBatch, origin: Origin) -> dict[str, object]:
    return {
        "batch_id": batch.batch_id,
        "root_id": origin.root_id or batch.batch_id,
        "parent_id": origin.parent_id,
        "stream": batch.chain.stream,
        "dialect": batch.dialect,
        "first_seq": batch.members[0].seq,
        "last_seq": batch.members[-1].seq,
        "events": len(batch.members),
        "sha256": batch.sha256,
        "prev_sha256": batch.chain.prev_sha256,
        "body": batch.body,
        "attempts": origin.attempts,
        "delay": origin.delay,
        "tried": origin.tried,
        "held": origin.held,
    }
