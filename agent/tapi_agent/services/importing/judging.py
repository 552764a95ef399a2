"""Judges old rows: at once where nothing speaks against any of them, else one by one; and tables by their shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from tapi_agent.domain.importing.checks import Column, Json
from tapi_agent.domain.importing.flaws import Flaw, QuarantineCode
from tapi_agent.domain.importing.json_text import MAX_DEPTH
from tapi_agent.domain.importing.quarantine import SetAside, content
from tapi_agent.domain.importing.tables import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.importing.tables import OldTable, Row
    from tapi_agent.ports.imports import OldDatabase

_ALIKE: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER: Final = b"0" * 19
"""From so many digits on an integer may be beyond 64 bits; orjson would make a float of it."""


def judge(table: OldTable, rows: Sequence[Row], foreign: frozenset[str]) -> tuple[Sequence[Row], Sequence[SetAside]]:
    """Those that are ready to be stored, and those that are not."""
    if not table.derive and _all_fine(table, rows, foreign):
        return rows, ()
    taken = [(row, table.take(row, foreign)) for row in rows]
    return (
        [found for _, found in taken if not isinstance(found, Flaw)],
        [as_it_was(table, row, found) for row, found in taken if isinstance(found, Flaw)],
    )


def _all_fine(table: OldTable, rows: Sequence[Row], foreign: frozenset[str]) -> bool:
    values = dict(zip(["row_number", *table.columns], zip(*rows, strict=True), strict=False))
    fine = all(_column_is_fine(column, values[name]) for name, column in table.columns.items() if rows)
    return fine and foreign.isdisjoint(values.get("camera_id", ()))


def _column_is_fine(column: Column, values: Sequence[object]) -> bool:
    if isinstance(column, Json):
        return all(plainly_sound(column, value) or not column.flaw(value) for value in values)
    return column.all_fine(values)


def plainly_sound(column: Json, value: object) -> bool:
    """Whether a JSON text is fine without a closer look (``domain.importing.json_text``)."""
    if type(value) is not str:
        return False
    text = value.encode()
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return (
        (type(found) is dict or not column.object_only)
        and b"\\u0000" not in text
        and _LONG_NUMBER not in text.translate(_ALIKE)
        and text.count(b"{") + text.count(b"[") <= MAX_DEPTH
    )


def as_it_was(table: OldTable, row: Row, flaw: Flaw) -> SetAside:
    """An old row whole, without what was derived from it."""
    values = zip(table.columns, row[1 : 1 + len(table.columns)], strict=True)
    return SetAside(table=table.name, row_number=number_of(row), flaw=flaw, content=content(values))


def misshapen(database: OldDatabase, expected: Sequence[OldTable]) -> dict[str, SetAside]:
    """By name, the tables that cannot be imported as a whole: missing, of other columns, or not known at all."""
    wanted = {table.name: list(table.columns) for table in expected}
    found = {name: list(columns) for name, columns in database.tables.items()}
    flaws = {name: _shape_flaw(wanted.get(name), found.get(name)) for name in wanted | found}
    return {name: _whole(name, found.get(name, []), flaw) for name, flaw in flaws.items() if flaw}


def _whole(name: str, columns: list[str], flaw: Flaw) -> SetAside:
    return SetAside(table=name, flaw=flaw, content=content([("columns", ", ".join(columns))]))


def _shape_flaw(wanted: list[str] | None, found: list[str] | None) -> Flaw | None:
    if wanted is None:
        return Flaw(QuarantineCode.UNKNOWN_TABLE, "no table of the old application's")
    if found is None:
        return Flaw(QuarantineCode.MISSING_TABLE, "the file has no such table")
    if sorted(wanted) != sorted(found):
        return Flaw(QuarantineCode.WRONG_COLUMNS, f"its columns should be {', '.join(wanted)}")
    return None
