"""The counters of quotas in PostgreSQL: who may take how much of a limit that several agents share (ADR 0070).

The truth of a quota is here: its row in quota_counters is the lock that draws wait for in line, usage_totals is what
was used, and quota_stakes is what each device may still bring into those totals.

Every draw is a transaction of several round trips, with the lock taken by its first statement. So a call whose answer
is lost either never commits, or commits before any later call of this device gets the lock: it cannot overwrite one.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.quota import Period, Window
from tapi_agent.ports.quotas import Count, QuotaKey, Stake

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import DeviceId, StreamId, TenantId
    from tapi_agent.ports.quotas import LimitRule

_SQL: Final = load_queries("quotas")


class PostgresQuotaLedger:
    """``ports.quotas.QuotaLedger`` for the agent of one device."""

    def __init__(self, *, database: Database, device_id: DeviceId) -> None:
        self._database = database
        self._device_id = device_id

    async def draw(
        self, rule: LimitRule, stake: Stake, *, needed: Decimal, wanted: Decimal, stream: StreamId | None
    ) -> Count:
        """Write down the own stake and draw on the limit."""
        own = {"device_id": self._device_id, "outstanding": stake.outstanding, "reserved": stake.reserved}
        asked = {"needed": needed, "wanted": wanted, "stream": stream}
        async with self._database.connection() as connection:
            await connection.execute(_SQL.lock_counter, _rule(rule))
            cursor = await connection.execute(_SQL.draw, _rule(rule) | own | asked)
            row = (await cursor.fetchall())[0]
        return Count(limit=row.pop("quota_limit"), **row)

    async def stakes(self, tenant_id: TenantId) -> Mapping[QuotaKey, Stake]:
        """What this device has written down last."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.stakes, {"tenant_id": tenant_id, "device_id": self._device_id})
            rows = await cursor.fetchall()
        return {
            _key_of(tenant_id, row): Stake(outstanding=row["outstanding"], reserved=row["reserved"]) for row in rows
        }

    async def settled(self, key: QuotaKey) -> Decimal:
        """What the service can know of."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.settled, _key(key))
            settled: Decimal = (await cursor.fetchall())[0]["settled"]
        return settled

    async def heard(self, rule: LimitRule, *, remaining: Decimal, settled: Decimal, said_at: datetime) -> None:
        """The service's word, unless a newer one is known."""
        word = {"remaining": remaining, "settled": settled, "said_at": said_at}
        async with self._database.connection() as connection:
            await connection.execute(_SQL.hear, _rule(rule) | word)


def _rule(rule: LimitRule) -> dict[str, object]:
    return _key(rule.key) | {"quota_limit": rule.limit, "soft": rule.soft}


def _key(key: QuotaKey) -> dict[str, object]:
    return {
        "tenant_id": key.tenant_id,
        "meter": key.meter,
        "period": key.window.period,
        "period_start": key.window.start,
        "period_end": key.window.end,
        "since": key.window.start.date(),
        "until": key.window.end.date(),
    }


def _key_of(tenant_id: TenantId, row: DictRow) -> QuotaKey:
    start, end = (row[name].astimezone(UTC) for name in ("period_start", "period_end"))
    return QuotaKey(
        tenant_id=tenant_id, meter=row["meter"], window=Window(period=Period(row["period"]), start=start, end=end)
    )
