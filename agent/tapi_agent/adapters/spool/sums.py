"""What a spool file has ever accepted and handed over, by tenant, meter, unit and day, in two sides of one table.

Written in the transaction of the events themselves, so that the sums are those of the events whatever happens. Called
by ``file``, with a connection from ``prepare``, and by ``rescue``, which only reads.
"""

from __future__ import annotations

from datetime import date
from decimal import Context, Decimal, Inexact
from sqlite3 import IntegrityError
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.spool.rows import DamagedError, believed, texts
from tapi_agent.domain.ids import TenantId
from tapi_agent.domain.tally import take_away, tally
from tapi_agent.domain.usage import UsageTotal

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

ACCEPTED: Final = "accepted"
DRAINED: Final = "drained"
_EXACT: Final = Context(prec=60, traps=[Inexact])
_ADD: Final = """
INSERT INTO sums (side, tenant_id, meter, unit, day, events, quantity, local_events, local_quantity)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    events = events + excluded.events, quantity = exact_sum(quantity, excluded.quantity),
    local_events = local_events + excluded.local_events,
    local_quantity = exact_sum(local_quantity, excluded.local_quantity)
"""
_READ: Final = """
SELECT tenant_id, meter, unit, day, events, quantity, local_events, local_quantity FROM sums
WHERE side = ? ORDER BY tenant_id, meter, unit, day
"""


def prepare(connection: sqlite3.Connection) -> None:
    """SQLite has no exact decimals: the connection learns to add ours."""
    connection.create_function("exact_sum", 2, _exact_sum, deterministic=True)


def add(connection: sqlite3.Connection, side: str, totals: Iterable[UsageTotal]) -> None:
    """Add ``totals`` to one side, within the transaction at hand; ``DamagedError`` if it holds what is no number."""
    try:
        connection.executemany(_ADD, [(side, *_row(total)) for total in totals])
    except IntegrityError as error:
        raise DamagedError("a sum is not what was written") from error


def read(connection: sqlite3.Connection, side: str) -> list[UsageTotal]:
    """One side, in order of tenant, meter, unit and day; ``DamagedError`` if a row is none of ours."""
    with believed():
        return [_total(row) for row in connection.execute(_READ, (side,)).fetchall()]


def waiting(connection: sqlite3.Connection) -> list[UsageTotal]:
    """What was accepted and not handed over."""
    return take_away(read(connection, ACCEPTED), read(connection, DRAINED))


def until(connection: sqlite3.Connection, through: int, told: Sequence[UsageTotal]) -> Sequence[UsageTotal]:
    """What waits up to seq ``through``: what was ``told``, if it is of as many events, for they cannot be others."""
    (rows,) = connection.execute("SELECT count(*) FROM events WHERE seq <= ?", (through,)).fetchone()
    known = sum(total.events + total.local_events for total in told)
    return told if known == rows else tally(texts(connection, through))


def begin_anew(connection: sqlite3.Connection) -> None:
    """Only what waits was ever accepted: the stream is a new one."""
    left = waiting(connection)
    connection.execute("DELETE FROM sums")
    add(connection, ACCEPTED, left)


def _exact_sum(one: str, other: str) -> str | None:
    """Nothing, which the column refuses, when one is no number: SQLite would not say what was raised."""
    try:
        return str(_EXACT.add(_finite(one), _finite(other)))
    except ArithmeticError:
        return None


def _finite(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ArithmeticError(f"{text} is no amount")
    return number


def _row(total: UsageTotal) -> tuple[object, ...]:
    key = total.tenant_id, total.meter, total.unit, total.day.isoformat()
    return *key, total.events, str(total.quantity), total.local_events, str(total.local_quantity)


def _total(row: tuple[str, str, str, str, int, str, int, str]) -> UsageTotal:
    tenant_id, meter, unit, day, events, quantity, local_events, local_quantity = row
    return UsageTotal(
        tenant_id=TenantId(tenant_id),
        meter=meter,
        unit=unit,
        day=date.fromisoformat(day),
        events=events,
        quantity=_finite(quantity),
        local_events=local_events,
        local_quantity=_finite(local_quantity),
    )
