"""Stored batches, and how they hang together: in each stream, every batch names the digest of the one sealed before it.

Reads what ``usage`` has written. A broken chain is shown and nothing is refused for it: a batch that was split or never
delivered leaves a gap that is nobody's fault.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

_BATCHES: Final = """
    SELECT *, CASE
        WHEN prev_sha256 IS NULL AND NOT EXISTS (
            SELECT 1 FROM batches AS other
            WHERE other.account = batches.account AND other.stream = batches.stream
            AND other.first_seq < batches.first_seq) THEN 'start'
        WHEN EXISTS (
            SELECT 1 FROM batches AS other
            WHERE other.account = batches.account AND other.stream = batches.stream
            AND other.sha256 = batches.prev_sha256 AND other.batch_id <> batches.batch_id) THEN 'linked'
        ELSE 'broken' END AS chain
    FROM batches"""
"""``chain`` is worked out anew each time: batches may overtake each other, and a missing link may yet come."""


def batch(db: sqlite3.Connection, account: str, batch_id: str) -> dict[str, object] | None:
    """A batch as it was stored, with its results."""
    row = db.execute(f"{_BATCHES} WHERE account = ? AND batch_id = ?", (account, batch_id)).fetchone()
    return None if row is None else _from_row(row)


def batches(db: sqlite3.Connection) -> list[dict[str, object]]:
    """All batches of all accounts, in the order in which they came."""
    return [_from_row(row) for row in db.execute(f"{_BATCHES} ORDER BY rowid")]


def _from_row(row: sqlite3.Row) -> dict[str, object]:
    return dict(row) | {"results": json.loads(row["results"])}
