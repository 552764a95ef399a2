"""Sums over the ledger: exact, worked out from its lines each time, so that they cannot drift from what was billed."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tapi_agent.sandbox import amounts, times

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

_COUNTS: Final = {
    "api_calls": "api_call",
    "llm_tokens_used": "llm_tokens",
    "sms_sent": "sms_sent",
    "agent_executions": "agent_execution",
}
"""Fields of GET /billing/usage and their meters; cut to integers."""
_AMOUNTS: Final = {"storage_gb_days": "storage_gb_days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From ``start`` to ``end``, both inclusive."""

    start: datetime
    end: datetime

    @property
    def bounds(self) -> tuple[int, int]:
        """As the ledger counts time."""
        return times.microseconds(self.start), times.microseconds(self.end)


def by_meter(db: sqlite3.Connection, account: str, tenant_id: str, period: Period) -> dict[str, Decimal]:
    """What ``account`` has delivered for a tenant, by event type; a meter without events is absent."""
    query = """
        SELECT event_type, exact_sum(quantity) AS quantity FROM billed
        WHERE account = ? AND tenant_id = ? AND event_time_us BETWEEN ? AND ? GROUP BY event_type"""
    rows = db.execute(query, (account, tenant_id, *period.bounds))
    return {row["event_type"]: Decimal(row["quantity"]) for row in rows}


def usage_report(db: sqlite3.Connection, account: str, tenant_id: str, period: Period) -> dict[str, Decimal]:
    """GET /billing/usage: five of the meters under the names they have there."""
    sums = by_meter(db, account, tenant_id, period)
    counts = {field: amounts.whole(sums.get(meter, Decimal(0))) for field, meter in _COUNTS.items()}
    return counts | {field: sums.get(meter, Decimal(0)) for field, meter in _AMOUNTS.items()}


def by_day(db: sqlite3.Connection, account: str, period: Period) -> list[dict[str, object]]:
    """GET /usage/totals: count and quantity per tenant, meter and UTC day of event_time."""
    query = """
        SELECT tenant_id, event_type, day, count(*) AS count, exact_sum(quantity) AS quantity
        FROM billed WHERE account = ? AND event_time_us BETWEEN ? AND ?
        GROUP BY tenant_id, event_type, day ORDER BY day, tenant_id, event_type"""
    rows = db.execute(query, (account, *period.bounds))
    return [dict(row) | {"quantity": Decimal(row["quantity"])} for row in rows]


def overall(db: sqlite3.Connection) -> list[dict[str, object]]:
    """For the admin: everything ever billed, per tenant and meter. Quantities are decimal literals."""
    query = """
        SELECT tenant_id, event_type, count(*) AS count, exact_sum(quantity) AS quantity
        FROM billed GROUP BY tenant_id, event_type ORDER BY tenant_id, event_type"""
    return [dict(row) for row in db.execute(query)]


def lines(db: sqlite3.Connection, *, after: int, limit: int) -> list[dict[str, object]]:
    """For the admin: the ledger line by line, from the one behind ``after`` on."""
    query = "SELECT * FROM billed WHERE line > ? ORDER BY line LIMIT ?"
    return [dict(row) for row in db.execute(query, (after, limit))]
