"""Single values against the columns they should fit, exactly and at a glance."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.importing import checks
from tapi_agent.domain.importing.checks import Blob, Integer, Json, Text, Undecodable
from tapi_agent.domain.importing.tables import CONFIG, TELEMETRY

DAY: Final = 86_400_000


def code(column: checks.Column, value: object) -> str | None:
    flaw = column.flaw(value)
    return flaw and flaw.code


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        pytest.param(checks.COUNT, 2**63 - 1, None, id="the largest number"),
        pytest.param(checks.COUNT, -1, "NUMBER_OUT_OF_RANGE", id="a negative count"),
        pytest.param(checks.COUNT, 1e19, "NUMBER_OUT_OF_RANGE", id="a real beyond 64 bits"),
        pytest.param(checks.COUNT, float("-inf"), "NUMBER_OUT_OF_RANGE", id="infinity"),
        pytest.param(checks.COUNT, 1.5, "WRONG_TYPE", id="a real"),
        pytest.param(checks.COUNT, "1", "WRONG_TYPE", id="digits as text"),
        pytest.param(checks.COUNT, b"1", "WRONG_TYPE", id="a blob"),
        pytest.param(checks.COUNT, None, "MISSING_VALUE", id="NULL"),
        pytest.param(checks.PIXELS, None, None, id="NULL where it may be"),
        pytest.param(checks.PIXELS, 2**31, "NUMBER_OUT_OF_RANGE", id="beyond 32 bits"),
        pytest.param(checks.row_id(), -(2**63), None, id="the smallest rowid"),
        pytest.param(checks.row_id(), 10**12, "NUMBER_OUT_OF_RANGE", id="a number of the new sequences"),
        pytest.param(checks.time_ms(), 946_684_800_000, None, id="2000"),
        pytest.param(checks.time_ms(), 946_684_799_999, "TIME_OUT_OF_RANGE", id="before"),
        pytest.param(checks.time_ms(), 4_102_444_799_999, None, id="the end of 2099"),
        pytest.param(checks.time_ms(), 4_102_444_800_000, "TIME_OUT_OF_RANGE", id="2100"),
        pytest.param(checks.time_s(), 946_684_800, None, id="2000 in seconds"),
        pytest.param(checks.time_s(), 946_684_800_000, "TIME_OUT_OF_RANGE", id="milliseconds for seconds"),
        pytest.param(checks.EVENT_TYPE, 5, "UNKNOWN_EVENT_TYPE", id="a sixth type"),
        pytest.param(Text(), "", None, id="an empty text"),
        pytest.param(Text(), "a\0", "NUL_IN_TEXT", id="NUL"),
        pytest.param(Text(), Undecodable(b"\xff"), "INVALID_UTF8", id="no UTF-8"),
        pytest.param(Text(), b"a", "WRONG_TYPE", id="a blob for text"),
        pytest.param(checks.NAME, "", "EMPTY_NAME", id="no name"),
        pytest.param(checks.KEY, "ü" * 256, None, id="512 bytes"),
        pytest.param(checks.KEY, "ü" * 257, "TEXT_TOO_LONG", id="514 bytes"),
        pytest.param(Blob(), b"", None, id="an empty blob"),
        pytest.param(Blob(), Undecodable(b"\xff"), "INVALID_UTF8", id="bad text for a blob"),
        pytest.param(Blob(optional=True), "jpeg", "WRONG_TYPE", id="text for a blob"),
    ],
)
def test_a_value(column: checks.Column, value: object, expected: str | None) -> None:
    assert code(column, value) == expected


COLUMNS: Final = [
    checks.COUNT,
    checks.PIXELS,
    checks.row_id(optional=True),
    checks.time_ms(),
    Text(),
    checks.NAME,
    Text(key=True, optional=True),
    Blob(optional=True),
    Json(),
    Json(object_only=True, optional=True),
    Integer(low=0, high=3, meaning="x"),
]
values = st.lists(
    st.none()
    | st.integers(-3, 3)
    | st.integers(2**62, 2**64)
    | st.floats()
    | st.sampled_from(["", "{}", "[]", "a\0", "a" * 129, "ü" * 400, "1"])
    | st.binary(max_size=2)
    | st.binary(max_size=2).map(Undecodable),
    max_size=5,
)


@pytest.mark.parametrize("column", COLUMNS, ids=str)
@given(some=values)
def test_at_a_glance_nothing_flawed_is_called_fine(column: checks.Column, some: list[Any]) -> None:
    if column.all_fine(some):
        assert [column.flaw(value) for value in some] == [None] * len(some)


@pytest.mark.parametrize(
    ("column", "some"),
    [
        pytest.param(checks.COUNT, [0, 1], id="counts"),
        pytest.param(checks.PIXELS, [None, None], id="nothing"),
        pytest.param(checks.NAME, ["a", "b"], id="names"),
        pytest.param(Blob(), [b""], id="blobs"),
        pytest.param(Json(), ["1"], id="JSON"),
    ],
)
def test_at_a_glance_ordinary_values_are_fine(column: checks.Column, some: list[Any]) -> None:
    assert column.all_fine(some)


def test_every_integer_column_is_added_up() -> None:
    for table in (*CONFIG, *TELEMETRY):
        integers = [name for name, column in table.columns.items() if isinstance(column, Integer)]
        assert list(table.integers) == integers, table.name
