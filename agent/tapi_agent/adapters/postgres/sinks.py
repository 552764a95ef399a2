"""The recorded events as sinks follow them, and the sinks' cursors. Implements ``ports.sinks.SinkLog``."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.usage import UsageEvent
from tapi_agent.ports.sinks import SinkPage

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import DeviceId, StreamId

_SQL: Final = load_queries("sinks")


class PostgresSinkLog:
    """For the agent of one device: its streams, and its cursors in them."""

    def __init__(self, *, database: Database, device_id: DeviceId) -> None:
        self._database = database
        self._device_id = device_id

    async def follow(self, sink: str, *, stream: StreamId | None, since_beginning: bool) -> None:
        """Put a cursor into every stream where the sink has none, and into ``stream``."""
        new = {"sink": sink, "device_id": self._device_id, "stream": stream, "since_beginning": since_beginning}
        async with self._database.connection() as connection:
            await connection.execute(_SQL.follow, new)

    async def page(self, sink: str, *, limit: int) -> SinkPage | None:
        """What follows the cursor."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.place, {"sink": sink, "device_id": self._device_id})
            place = await cursor.fetchone()
            if place is None:
                return None
            through = min(place["seq"] + limit, place["drained_seq"])
            asked = {"stream": place["stream"], "after": place["seq"], "through": through}
            cursor = await connection.execute(_SQL.events, asked)
            events = [_event(row) async for row in cursor]
            if not events:
                through = await _end_of_hole(connection, place, through)
        return SinkPage(stream=place["stream"], through=through, events=events, behind=place["behind"])

    async def advance(self, sink: str, page: SinkPage) -> None:
        """The sink has taken the page."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL.advance, {"sink": sink, "stream": page.stream, "through": page.through})


async def _end_of_hole(connection: AsyncConnection[DictRow], place: DictRow, through: int) -> int:
    """The seq before the next event, or the last one there is."""
    asked = {"stream": place["stream"], "after": through, "drained_seq": place["drained_seq"]}
    row = await (await connection.execute(_SQL.resume, asked)).fetchone()
    return int(place["drained_seq"] if row is None or row["seq"] is None else row["seq"] - 1)


def _event(row: DictRow) -> UsageEvent:
    times = {name: row[name].astimezone(UTC) for name in ("event_time", "recorded_at")}
    return UsageEvent(**row | times)
