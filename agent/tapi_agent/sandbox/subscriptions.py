"""Licenses: what was sold to whom, and what is therefore said about a camera or a tenant.

Owns the tables tenants, api_keys, subscriptions and cameras. The HTTP of it is ``licenses_api``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.license import LicenseMode, LicenseStatus
from tapi_agent.sandbox import times

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

TENANT_ITSELF: Final = ""
_GO_ZERO_YEARS: Final = 1970
_SOLD: Final = {LicenseMode.TRIAL, LicenseMode.BASE, LicenseMode.ENTERPRISE}
_INDULGED: Final = {LicenseStatus.GRACE_PERIOD, LicenseStatus.PAST_DUE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What was bought. ``valid_until``: RFC 3339 as entered, or no end; ``cameras_allowed``: ``None`` for unlimited."""

    mode: LicenseMode
    status: LicenseStatus = LicenseStatus.ACTIVE
    valid_until: str | None = None
    cameras_allowed: int | None = None
    packs: tuple[str, ...] = ()

    def end(self) -> datetime | None:
        """When it ends. Years up to 1970 are Go's zero time: no end."""
        end = self.valid_until and times.parse(self.valid_until)
        return end if end and end.year > _GO_ZERO_YEARS else None

    def lapsed(self, now: datetime) -> bool:
        """Whether its end has passed."""
        end = self.end()
        return end is not None and now >= end

    def is_valid(self, now: datetime) -> bool:
        """The service's yes or no: somebody in arrears is let run on, even beyond the end."""
        running = self.status is LicenseStatus.ACTIVE and not self.lapsed(now)
        return self.mode in _SOLD and (running or self.status in _INDULGED)

    def as_of(self, now: datetime) -> Subscription:
        """As it is shown: once lapsed, mode and status say expired, whatever was sold."""
        if self.mode in _SOLD and self.status is LicenseStatus.ACTIVE and self.lapsed(now):
            return replace(self, mode=LicenseMode.EXPIRED, status=LicenseStatus.EXPIRED)
        return self

    def days_remaining(self, now: datetime) -> int | None:
        """Whole days to the end, 0 when it has passed, ``None`` without one."""
        end = self.end()
        return None if end is None else max(0, (end - now) // timedelta(days=1))


UNLICENSED: Final = Subscription(mode=LicenseMode.UNLICENSED)


def add_tenant(db: sqlite3.Connection, tenant_id: str, api_key: str) -> None:
    """Let ``api_key`` speak for ``tenant_id``, which is created if need be. A tenant may have several keys."""
    db.execute("INSERT INTO tenants (tenant_id) VALUES (?) ON CONFLICT DO NOTHING", (tenant_id,))
    db.execute("INSERT OR REPLACE INTO api_keys VALUES (?, ?)", (_digest(api_key), tenant_id))


def tenant_of(db: sqlite3.Connection, api_key: str) -> str | None:
    """Whose key it is."""
    row = db.execute("SELECT tenant_id FROM api_keys WHERE key_sha256 = ?", (_digest(api_key),)).fetchone()
    return row and str(row["tenant_id"])


def tenant_exists(db: sqlite3.Connection, tenant_id: str) -> bool:
    """Whether there is such a tenant."""
    return db.execute("SELECT 1 FROM tenants WHERE tenant_id = ?", (tenant_id,)).fetchone() is not None


def sequence(db: sqlite3.Connection, tenant_id: str) -> int:
    """The number of the tenant's newest license change."""
    row = db.execute("SELECT sequence FROM tenants WHERE tenant_id = ?", (tenant_id,)).fetchone()
    return int(row["sequence"])


def subscribe(db: sqlite3.Connection, tenant_id: str, camera_id: str, sold: Subscription) -> None:
    """Sell ``sold`` to a camera, or to the tenant itself, in place of what it had."""
    values = (sold.mode, sold.status, sold.valid_until, sold.cameras_allowed, json.dumps(sold.packs))
    db.execute("INSERT OR REPLACE INTO subscriptions VALUES (?, ?, ?, ?, ?, ?, ?)", (tenant_id, camera_id, *values))
    _count_change(db, tenant_id)


def remove_camera(db: sqlite3.Connection, tenant_id: str, camera_id: str) -> None:
    """Forget a camera: its own subscription ends and its place is free."""
    db.execute("DELETE FROM subscriptions WHERE tenant_id = ? AND camera_id = ?", (tenant_id, camera_id))
    db.execute("DELETE FROM cameras WHERE tenant_id = ? AND camera_id = ?", (tenant_id, camera_id))
    _count_change(db, tenant_id)


def subscription(db: sqlite3.Connection, tenant_id: str, camera_id: str) -> Subscription | None:
    """What was sold to exactly this camera, or to the tenant itself."""
    query = "SELECT * FROM subscriptions WHERE tenant_id = ? AND camera_id = ?"
    row = db.execute(query, (tenant_id, camera_id)).fetchone()
    return None if row is None else _from_row(row)


def register(db: sqlite3.Connection, tenant_id: str, camera_id: str) -> None:
    """Give an unknown camera a free place of its tenant's subscription, if there is one, until it is removed."""
    tenants = subscription(db, tenant_id, TENANT_ITSELF)
    if tenants is None or camera_id == TENANT_ITSELF or subscription(db, tenant_id, camera_id) is not None:
        return
    if _within(_places_taken(db, tenant_id), tenants.cameras_allowed):
        db.execute("INSERT INTO cameras VALUES (?, ?) ON CONFLICT DO NOTHING", (tenant_id, camera_id))


def license_of(db: sqlite3.Connection, tenant_id: str, camera_id: str) -> Subscription:
    """What holds for a camera: its own subscription, else its place in the tenant's, else nothing."""
    tenants, own = subscription(db, tenant_id, TENANT_ITSELF), subscription(db, tenant_id, camera_id)
    return _holding(tenants, own, place=_place(db, tenant_id, camera_id))


def licenses(db: sqlite3.Connection, tenant_id: str) -> dict[str, Subscription]:
    """``license_of`` the tenant itself and, by id, of every camera that has a place or a subscription of its own."""
    query = "SELECT * FROM subscriptions WHERE tenant_id = ?"
    sold = {row["camera_id"]: _from_row(row) for row in db.execute(query, (tenant_id,))}
    # When places become fewer, the first cameras keep theirs.
    query = "SELECT camera_id FROM cameras WHERE tenant_id = ? ORDER BY rowid"
    places = {row["camera_id"]: place for place, row in enumerate(db.execute(query, (tenant_id,)))}
    tenants = sold.get(TENANT_ITSELF)
    known = sorted({TENANT_ITSELF, *sold, *places})
    return {one: _holding(tenants, sold.get(one), place=places.get(one)) for one in known}


def _holding(tenants: Subscription | None, own: Subscription | None, *, place: int | None) -> Subscription:
    if tenants is None:
        return own or UNLICENSED
    placed = place is not None and _within(place, tenants.cameras_allowed)
    return replace(own or (tenants if placed else UNLICENSED), cameras_allowed=tenants.cameras_allowed)


def _places_taken(db: sqlite3.Connection, tenant_id: str) -> int:
    return int(db.execute("SELECT count(*) FROM cameras WHERE tenant_id = ?", (tenant_id,)).fetchone()[0])


def _place(db: sqlite3.Connection, tenant_id: str, camera_id: str) -> int | None:
    """How many cameras of the tenant came before this one, if it has come."""
    query = """
        SELECT (SELECT count(*) FROM cameras WHERE tenant_id = mine.tenant_id AND rowid < mine.rowid)
        FROM cameras AS mine WHERE tenant_id = ? AND camera_id = ?"""
    row = db.execute(query, (tenant_id, camera_id)).fetchone()
    return row and int(row[0])


def _within(index: int, allowed: int | None) -> bool:
    return allowed is None or index < allowed


def _count_change(db: sqlite3.Connection, tenant_id: str) -> None:
    db.execute("UPDATE tenants SET sequence = sequence + 1 WHERE tenant_id = ?", (tenant_id,))


def _from_row(row: sqlite3.Row) -> Subscription:
    return Subscription(
        mode=LicenseMode(row["mode"]),
        status=LicenseStatus(row["status"]),
        valid_until=row["valid_until"],
        cameras_allowed=row["cameras_allowed"],
        packs=tuple(json.loads(row["packs"])),
    )


def _digest(api_key: str) -> str:
    return hashlib.sha256(api_key.encode()).hexdigest()
