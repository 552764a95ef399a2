"""New events by COPY, the fastest way in: for those that nobody has recorded before, which is nearly all (ADR 0089).

COPY cannot pass over a row that is there already: it fails as a whole, and the ledger inserts instead. Columns are cut
from the canonical text itself; a text in another form than ours is left to PostgreSQL to read.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.adapters.postgres.usage_totals import document
from tapi_agent.domain.canonical import read_back
from tapi_agent.domain.ids import EPOCH
from tapi_agent.domain.tally import sum_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

    from tapi_agent.domain.canonical import ReadBack
    from tapi_agent.domain.tally import Fact
    from tapi_agent.domain.usage import SpooledEvent, UsageTotal

_SQL: Final = load_queries("usage")
_NULL: Final = r"\N"
_TIME: Final = len("019ca6b1-dc00")
"""The digits of an id that are its time."""
_AT_ONCE: Final = 100
"""Rows between two turns of the event loop: PostgreSQL takes them in while the next are made."""


class ForeignTextError(Exception):
    """A canonical text is not in the form that this agent writes."""


async def copy_events(connection: AsyncConnection[DictRow], events: Sequence[SpooledEvent]) -> Sequence[UsageTotal]:
    """Keep ``events``, all of them new, and count them; returns what they add up to.

    Raises ``ForeignTextError``, and fails with SQLSTATE 23505 when one is there already; both end the transaction.
    """
    facts: list[Fact] = []
    rows = _rows(events, facts)
    async with connection.cursor().copy(_SQL.copy_events) as copy:
        while some := "".join(islice(rows, _AT_ONCE)):
            await copy.write(some)
        totals = sum_up(facts)
    await connection.execute(_SQL.count_events, {"stream": events[0].stream, "totals": document(totals)})
    return totals


def _rows(events: Sequence[SpooledEvent], facts: list[Fact]) -> Iterator[str]:
    """Lines of COPY's text; what counts of each event is added to ``facts``."""
    stream = str(events[0].stream)
    for event in events:
        read = read_back(event.canonical)
        if read is None:
            raise ForeignTextError
        facts.append((read.tenant_id, read.event_type, read.unit, read.day, not read.local, read.quantity))
        yield _row(event, read, stream)


def _row(event: SpooledEvent, read: ReadBack, stream: str) -> str:
    """A line of COPY's text: nothing in ``read`` needs a backslash, and the canonical text none but for its own."""
    (tenant_id, event_type, resource_id, quantity, unit, day, time,
     event_id, device_id, camera_id, resource_type, corrects, local) = read  # fmt: skip
    canonical = event.canonical.replace("\\", "\\\\")
    return (
        f"{event_id}\t{_recorded_at(event_id[:_TIME])}\t{stream}\t{event.seq}\t{tenant_id}\t{device_id}\t{camera_id}"
        f"\t{event_type}\t{resource_id}\t{resource_type or ''}\t{quantity}\t{unit}\t{'f' if local else 't'}"
        f"\t{day}T{time}\t{corrects or _NULL}\t{canonical}\t{'local' if local else 'pending'}\n"
    )


@lru_cache(maxsize=64)
def _recorded_at(digits: str) -> str:
    return str(EPOCH + timedelta(milliseconds=int(digits.replace("-", ""), 16)))
