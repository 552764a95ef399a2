from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.metadata import MAX_BYTES, encode_metadata


def nested(levels: int) -> dict[str, object]:
    document: dict[str, object] = {}
    for _ in range(levels - 1):
        document = {"in": document}
    return document


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "{}"),
        ({"b": 1, "a": [True, None, "x"]}, '{"a":[true,null,"x"],"b":1}'),
        ({"price": Decimal("1.10")}, '{"price":1.10}'),
        ({"ratio": 0.1, "big": 2**60}, '{"big":1152921504606846976,"ratio":0.1}'),
        ({"tuple": (1, 2)}, '{"tuple":[1,2]}'),
        ({'q"\\': "line\nend\u2028é"}, '{"q\\"\\\\":"line\\nend\u2028é"}'),
        ({"deep": {"er": {}}}, '{"deep":{"er":{}}}'),
    ],
)
def test_metadata_is_canonical(given: object, text: str) -> None:
    assert encode_metadata(given) == text
    json.loads(text)


def test_the_limits_themselves_are_allowed() -> None:
    assert encode_metadata(nested(8)).count("{") == 8
    assert len(encode_metadata({"a": "x" * (MAX_BYTES - 8)})) == MAX_BYTES


@pytest.mark.parametrize(
    ("given", "code", "pointer"),
    [
        ([], "WRONG_TYPE", "#/metadata"),
        ("text", "WRONG_TYPE", "#/metadata"),
        ({"a": object()}, "WRONG_TYPE", "#/metadata/a"),
        ({"a": {1: 2}}, "WRONG_TYPE", "#/metadata/a"),
        ({"a": b"bytes"}, "WRONG_TYPE", "#/metadata/a"),
        ({"a": "\0"}, "BAD_TEXT", "#/metadata/a"),
        ({"a": ["x", "\ud800"]}, "BAD_TEXT", "#/metadata/a/1"),
        ({"a/b~c": {"\0": 1}}, "BAD_TEXT", "#/metadata/a~1b~0c/\0"),
        ({"a": float("nan")}, "OUT_OF_RANGE", "#/metadata/a"),
        ({"a": Decimal("Infinity")}, "OUT_OF_RANGE", "#/metadata/a"),
        ({"a": Decimal("1e400")}, "OUT_OF_RANGE", "#/metadata/a"),
        ({"a": Decimal("1e-400")}, "OUT_OF_RANGE", "#/metadata/a"),
        ({"a": 10**400}, "OUT_OF_RANGE", "#/metadata/a"),
        (nested(9), "TOO_DEEP", "#/metadata" + "/in" * 8),
        ({"a": [[[[[[[[]]]]]]]]}, "TOO_DEEP", "#/metadata/a" + "/0" * 7),
        ({"a": "x" * MAX_BYTES}, "TOO_LONG", "#/metadata"),
        ({"a": "é" * (MAX_BYTES // 2)}, "TOO_LONG", "#/metadata"),
    ],
)
def test_what_a_store_or_service_would_choke_on_is_refused(given: object, code: str, pointer: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        encode_metadata(given)
    assert (caught.value.code, caught.value.pointer) == (code, pointer)
