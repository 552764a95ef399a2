"""Single features of a tenant: the packs' word, overrules, and monthly quotas. Owns feature_overrides and quotas."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import RejectedError
from tapi_agent.sandbox import products, subscriptions, totals

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from tapi_agent.sandbox.subscriptions import Subscription

UNLIMITED: Final = -1
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """The word on a feature: ``quota_remaining`` is -1 for unlimited, ``valid_until`` RFC 3339 or ``None``."""

    is_enabled: bool
    quota_remaining: int
    valid_until: str | None


def entitlement(db: sqlite3.Connection, tenant_id: str, feature: str, now: datetime) -> Entitlement:
    """The word on ``feature`` (``category.name``) for the tenant as a whole; ``RejectedError`` where no product has it.

    It is enabled when any license of the tenant holds it, a camera's own as well: a no would be a no to all cameras.
    ``valid_until`` is that of the license which holds it longest.
    """
    overruled = _overrule(db, tenant_id, feature)
    if overruled is None and feature not in products.FEATURES:
        raise RejectedError(f"no product has the feature {feature!r}", code="not_found")
    licenses = subscriptions.licenses(db, tenant_id)
    bearers = [held for held in licenses.values() if held.is_valid(now) and products.sells(held.packs, feature)]
    return Entitlement(
        is_enabled=bool(bearers) if overruled is None else overruled,
        quota_remaining=_quota_remaining(db, tenant_id, _limit(db, tenant_id, feature), now),
        valid_until=_longest(bearers or [licenses[subscriptions.TENANT_ITSELF]]).valid_until,
    )


def overrule(db: sqlite3.Connection, tenant_id: str, feature: str, *, is_enabled: bool | None) -> None:
    """Let this decide in place of the packs; ``None`` lets the packs decide again."""
    db.execute("DELETE FROM feature_overrides WHERE tenant_id = ? AND feature = ?", (tenant_id, feature))
    if is_enabled is not None:
        db.execute("INSERT INTO feature_overrides VALUES (?, ?, ?)", (tenant_id, feature, is_enabled))


def set_quota(db: sqlite3.Connection, tenant_id: str, feature: str, meter: str, monthly_limit: int) -> None:
    """Let ``feature`` use ``monthly_limit`` of ``meter`` (an event_type) a month, whatever its product includes.

    -1 for unlimited, 0 for none.
    """
    db.execute("INSERT OR REPLACE INTO quotas VALUES (?, ?, ?, ?)", (tenant_id, feature, meter, monthly_limit))


def _overrule(db: sqlite3.Connection, tenant_id: str, feature: str) -> bool | None:
    query = "SELECT is_enabled FROM feature_overrides WHERE tenant_id = ? AND feature = ?"
    row = db.execute(query, (tenant_id, feature)).fetchone()
    return None if row is None else bool(row["is_enabled"])


def _longest(held: Iterable[Subscription]) -> Subscription:
    return max(held, key=lambda one: one.end() or _NEVER)


def _limit(db: sqlite3.Connection, tenant_id: str, feature: str) -> tuple[str, int] | None:
    """The meter that a feature runs on, and how much of it a month: as set, else as the tenant's license includes."""
    query = "SELECT meter, monthly_limit FROM quotas WHERE tenant_id = ? AND feature = ?"
    row = db.execute(query, (tenant_id, feature)).fetchone()
    if row is not None:
        return row["meter"], row["monthly_limit"]
    held = subscriptions.license_of(db, tenant_id, subscriptions.TENANT_ITSELF)
    return products.included(feature, held.packs, trial=held.mode == "trial")


def _quota_remaining(db: sqlite3.Connection, tenant_id: str, limit: tuple[str, int] | None, now: datetime) -> int:
    if limit is None or limit[1] == UNLIMITED:
        return UNLIMITED
    used = totals.by_meter(db, tenant_id, tenant_id, _month_of(now)).get(limit[0], 0)
    return max(0, limit[1] - int(used))


def _month_of(now: datetime) -> totals.Period:
    start = datetime.combine(now.date().replace(day=1), time(), now.tzinfo)
    following = (start + timedelta(days=31)).replace(day=1)
    return totals.Period(start=start, end=following - timedelta(microseconds=1))
