"""What may stay as it is in a JSON text, and what no later reader should have to meet."""

from __future__ import annotations

import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.importing.checks import Json
from tapi_agent.domain.importing.flaws import Flaw
from tapi_agent.domain.importing.json_text import MAX_DEPTH, read_json
from tapi_agent.services.importing.judging import plainly_sound

GOOD: Final = {
    "an object": '{"a": [1, 2.50, null, true, "ü"]}',
    "a value": " 1 ",
    "the largest integer": "18446744073709551615",
    "the smallest integer": "-9223372036854775808",
    "many digits behind the point": "0.0012345678901234567890123",
    "a large double": "1e308",
    "control characters, escaped": '"\\u0001\\n"',
    "a pair of surrogates": '"\\ud83d\\uDE00"',
    "a backslash before u0000": '"\\\\u0000"',
    "a backslash before half a pair": '"\\\\ud800"',
    "as deep as allowed": "[" * MAX_DEPTH + "]" * MAX_DEPTH,
    "many brackets, none deep": "[" + ",".join(["[]"] * 200) + "]",
    "brackets in a text": json.dumps("[" * 300),
}
BAD: Final = {
    "nothing": ("", "INVALID_JSON"),
    "cut short": ('{"a": ', "INVALID_JSON"),
    "two values": ("1 2", "INVALID_JSON"),
    "a byte order mark": ("\ufeff{}", "INVALID_JSON"),
    "single quotes": ("{'a': 1}", "INVALID_JSON"),
    "a raw line feed": ('"a\nb"', "INVALID_JSON"),
    "NaN": ("[NaN]", "INVALID_JSON"),
    "infinity": ("-Infinity", "INVALID_JSON"),
    "the first half alone": ('"\\ud83d x"', "INVALID_JSON"),
    "the second half alone": ('"\\uDE00"', "INVALID_JSON"),
    "halves the wrong way round": ('"\\ude00\\ud83d"', "INVALID_JSON"),
    "half a pair behind an escaped backslash": ('"\\\\\\ud800"', "INVALID_JSON"),
    "NUL": ('"a\\u0000"', "NUL_IN_TEXT"),
    "NUL in a name": ('{"\\u0000": 1}', "NUL_IN_TEXT"),
    "NUL in a value that a later one hides": ('{"a": "\\u0000", "a": 1}', "NUL_IN_TEXT"),
    "one too large": ("18446744073709551616", "NUMBER_OUT_OF_RANGE"),
    "one too small": ("-9223372036854775809", "NUMBER_OUT_OF_RANGE"),
    "endless digits": ("9" * 100_000, "NUMBER_OUT_OF_RANGE"),
    "beyond a double": ("[1e309]", "NUMBER_OUT_OF_RANGE"),
    "one level too deep": ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "TOO_DEEP"),
    "objects too deep": ('{"a":' * 150 + "1" + "}" * 150, "TOO_DEEP"),
    "a bomb": ("[" * 1_000_000, "TOO_DEEP"),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_may_stay(text: str) -> None:
    assert read_json(text) == json.loads(text)
    assert Json().flaw(text) is None


@pytest.mark.parametrize(("text", "code"), BAD.values(), ids=BAD)
def test_is_set_aside(text: str, code: str) -> None:
    found = read_json(text)
    assert isinstance(found, Flaw)
    assert found.code == code
    assert Json().flaw(text) == found
    assert not plainly_sound(Json(), text)


@pytest.mark.parametrize("text", ['{"a": 1}', '{"bbox": [1.5, 2], "id": "\\u0001"}'])
def test_ordinary_texts_need_no_closer_look(text: str) -> None:
    assert plainly_sound(Json(object_only=True), text)


def test_an_object_is_asked_for() -> None:
    column = Json(object_only=True)
    flaw = column.flaw("[]")
    assert flaw is not None
    assert flaw.code == "NOT_AN_OBJECT"
    assert not plainly_sound(column, "[]")


pieces = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        '"',
        '"a"',
        "\\u0000",
        "\\ud800",
        "\\udc00",
        "\\",
        "1",
        "0" * 7,
        "9" * 10,
        "e",
        "-",
        ".",
    ]
)
texts = st.lists(pieces, max_size=30).map("".join) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some),
).map(json.dumps)


@given(texts)
def test_the_quick_look_never_passes_what_the_close_one_would_not(text: str) -> None:
    if plainly_sound(Json(), text):
        assert read_json(text) == json.loads(text)
    if plainly_sound(Json(object_only=True), text):
        assert isinstance(json.loads(text), dict)
