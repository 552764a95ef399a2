from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.api.bodies import Body, as_model, parse
from tapi_agent.domain.errors import InvalidInputError


class Sample(Body):
    name: str
    count: int = 0


def test_numbers_stay_exactly_as_written() -> None:
    assert parse(b"[0.1, 9007199254740993, 1e-9]") == [Decimal("0.1"), 9007199254740993, Decimal("1e-9")]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"a": 1,}', "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (b"[" * 100_000, "malformed_json"),
        (b"1" * 5000, "malformed_json"),
        (b"1e99999999999999999999", "malformed_json"),
        (b"[" * 33 + b"]" * 33, "malformed_json"),
        (b'{"a": {"b": 1, "b": 1}}', "duplicate_name"),
        (b"NaN", "not_finite"),
        (b'{"quantity": Infinity}', "not_finite"),
        (b"[-Infinity]", "not_finite"),
    ],
    ids=[
        "empty",
        "cut",
        "trailing comma",
        "not utf-8",
        "too deep",
        "too long a number",
        "too large",
        "deep",
        "twice",
        "nan",
        "inf",
        "-inf",
    ],
)
def test_what_is_not_json_gets_a_clear_error(raw: bytes, code: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(raw)
    assert caught.value.code == code
    assert caught.value.fix


def test_as_deep_as_allowed() -> None:
    assert parse(b"[" * 32 + b"]" * 32)


def test_the_name_that_occurs_twice_is_named() -> None:
    names = ",".join(f'"name{number}": 1' for number in range(100_000))  # linear, or this takes minutes
    with pytest.raises(InvalidInputError, match="'name99999' occurs twice"):
        parse(f'{{{names}, "name99999": 1}}'.encode())


@given(st.binary(max_size=64))
def test_any_bytes_parse_or_are_refused(raw: bytes) -> None:
    try:
        parse(raw)
    except InvalidInputError as error:
        assert error.pointer == "#"  # noqa: PT017 - either way is right


@pytest.mark.parametrize(
    ("document", "pointer", "part"),
    [
        ([], "#", "needed here, not list"),
        ({}, "#/name", "required"),
        ({"name": 5}, "#/name", "string"),
        ({"name": "a", "count": True}, "#/count", "integer"),
        ({"name": "a", "count": "5"}, "#/count", "integer"),
        ({"name": "a", "cuont": 5}, "#/cuont", "not permitted"),
        ({"name": 1, "count": "x"}, "#/name", "(and 1 more)"),
    ],
    ids=json.dumps,
)
def test_a_wrong_field_is_named_by_its_pointer(document: object, pointer: str, part: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        as_model(document, Sample)
    assert caught.value.pointer == pointer
    assert part in str(caught.value)
