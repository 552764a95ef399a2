"""The text of each value is the text that came, and nothing that is not JSON gets through."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapi_agent.sandbox import exact_json

SPACE = st.text(" \t\r\n", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def written(draw: st.DrawFn) -> str:
    """A value as some client might write it."""
    ascii_only, separators = draw(st.booleans()), draw(st.sampled_from([(",", ":"), (" ,\n", " :\t")]))
    return json.dumps(draw(VALUES), ensure_ascii=ascii_only, separators=separators)


@settings(deadline=None)
@given(document=st.dictionaries(st.text(), written(), max_size=5), space=SPACE)
def test_members_keep_their_text(document: dict[str, str], space: str) -> None:
    pairs = (f"{space}{json.dumps(name)}{space}:{space}{text}{space}" for name, text in document.items())
    found = exact_json.members(f"{space}{{{','.join(pairs)}}}{space}".encode())
    assert {name: member.text for name, member in found.items()} == document
    for name, text in document.items():
        assert found[name].value == json.loads(text, parse_float=Decimal)


@settings(deadline=None)
@given(texts=st.lists(written(), max_size=5), space=SPACE)
def test_elements_keep_their_text(texts: list[str], space: str) -> None:
    array = f"[{','.join(f'{space}{text}{space}' for text in texts)}]"
    assert [element.text for element in exact_json.elements(array)] == texts


@settings(deadline=None)
@given(body=st.binary())
def test_what_json_refuses_is_refused(body: bytes) -> None:
    try:
        found = exact_json.members(body)
    except ValueError:
        return
    assert json.loads(body.decode()).keys() == found.keys()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"}",
        b"{}{}",
        b"{} x",
        b'{"a"}',
        b'{"a":}',
        b'{"a":1,}',
        b'{,"a":1}',
        b'{"a":1 "b":2}',
        b'{"a":1,"a":1}',
        b"{a:1}",
        b"{1:1}",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":01}',
        b'{"a":"\n"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_object_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        exact_json.members(body)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal(9007199254740993), b"9007199254740993"),
        (Decimal("0.1") + Decimal("0.2"), b"0.3"),
        (Decimal("1E+17"), b"100000000000000000"),
        (Decimal("-0.000000001"), b"-0.000000001"),
        ({"a": [Decimal("1.50")]}, b'{"a":[1.5]}'),
    ],
)
def test_decimals_are_written_as_exact_numbers(value: Any, text: bytes) -> None:
    assert exact_json.dump(value) == text


def test_what_json_cannot_hold_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="set"):
        exact_json.dump({1})
