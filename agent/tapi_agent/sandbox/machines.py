"""The machines that agents run on, known by hashed marks of their parts. Owns the table machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping


def enroll(
    db: sqlite3.Connection, tenant_id: str, device_id: str, components: Mapping[str, str] | None
) -> dict[str, str]:
    """The marks of a machine, as it sends them now or, if it sends none, as it last sent them.

    A live call is the machine's own word: other marks than before are drift, and take the place of the former ones.
    """
    known = _enrolled(db, tenant_id, device_id)
    if components is None or components == known:
        return known
    db.execute("INSERT OR REPLACE INTO machines VALUES (?, ?, ?)", (tenant_id, device_id, json.dumps(dict(components))))
    return dict(components)


def _enrolled(db: sqlite3.Connection, tenant_id: str, device_id: str) -> dict[str, str]:
    query = "SELECT components FROM machines WHERE tenant_id = ? AND device_id = ?"
    row = db.execute(query, (tenant_id, device_id)).fetchone()
    return {} if row is None else json.loads(row["components"])
