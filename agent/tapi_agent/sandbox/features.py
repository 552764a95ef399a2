"""Single features of a tenant: the packs' word, overrules, and monthly quotas. Owns feature_overrides and quotas."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.sandbox import products, subscriptions, totals

if TYPE_CHECKING:
    import sqlite3

UNLIMITED: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """The word on a feature: ``quota_remaining`` is -1 for unlimited, ``valid_until`` RFC 3339 or ``None``."""

    is_enabled: bool
    quota_remaining: int
    valid_until: str | None


def entitlement(db: sqlite3.Connection, tenant_id: str, feature: str, now: datetime) -> Entitlement:
    """Whether a tenant's license holds ``feature`` (``category.name``), or an overrule does, and what is left of it."""
    held = subscriptions.license_of(db, tenant_id, subscriptions.TENANT_ITSELF)
    enabled = _overrule(db, tenant_id, feature)
    if enabled is None:
        enabled = held.is_valid(now) and products.sells(held.packs, feature)
    remaining = _quota_remaining(db, tenant_id, feature, now)
    return Entitlement(is_enabled=enabled, quota_remaining=remaining, valid_until=held.valid_until)


def overrule(db: sqlite3.Connection, tenant_id: str, feature: str, *, is_enabled: bool | None) -> None:
    """Let this decide in place of the packs; ``None`` lets the packs decide again."""
    db.execute("DELETE FROM feature_overrides WHERE tenant_id = ? AND feature = ?", (tenant_id, feature))
    if is_enabled is not None:
        db.execute("INSERT INTO feature_overrides VALUES (?, ?, ?)", (tenant_id, feature, is_enabled))


def set_quota(db: sqlite3.Connection, tenant_id: str, feature: str, meter: str, monthly_limit: int) -> None:
    """Let ``feature`` use ``monthly_limit`` of ``meter`` (an event_type) a month; -1 for unlimited, 0 for none."""
    db.execute("INSERT OR REPLACE INTO quotas VALUES (?, ?, ?, ?)", (tenant_id, feature, meter, monthly_limit))


def _overrule(db: sqlite3.Connection, tenant_id: str, feature: str) -> bool | None:
    query = "SELECT is_enabled FROM feature_overrides WHERE tenant_id = ? AND feature = ?"
    row = db.execute(query, (tenant_id, feature)).fetchone()
    return None if row is None else bool(row["is_enabled"])


def _quota_remaining(db: sqlite3.Connection, tenant_id: str, feature: str, now: datetime) -> int:
    query = "SELECT meter, monthly_limit FROM quotas WHERE tenant_id = ? AND feature = ?"
    row = db.execute(query, (tenant_id, feature)).fetchone()
    if row is None or row["monthly_limit"] == UNLIMITED:
        return UNLIMITED
    used = totals.by_meter(db, tenant_id, tenant_id, _month_of(now)).get(row["meter"], 0)
    return max(0, int(row["monthly_limit"]) - int(used))


def _month_of(now: datetime) -> totals.Period:
    start = datetime.combine(now.date().replace(day=1), time(), now.tzinfo)
    following = (start + timedelta(days=31)).replace(day=1)
    return totals.Period(start=start, end=following - timedelta(microseconds=1))
