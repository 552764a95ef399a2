"""Totals on their way into PostgreSQL: one JSON document for a whole statement."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.usage import UsageTotal


def document(totals: Sequence[UsageTotal]) -> str:
    """A JSON array of those that can be stored; quantities as texts, which are exact."""
    rows = [
        asdict(total) | {"quantity": str(total.quantity), "local_quantity": str(total.local_quantity)}
        for total in totals
        if is_storable(total)
    ]
    return orjson.dumps(rows).decode()


def is_storable(total: UsageTotal) -> bool:
    """PostgreSQL has no place for texts with NUL, nor psycopg for lone surrogates; they must not hold up all others."""
    name = f"{total.tenant_id}{total.meter}{total.unit}"
    return "\0" not in name and name.encode(errors="replace").decode() == name
