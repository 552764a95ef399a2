from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from importlib import resources
from typing import TYPE_CHECKING, Final

import pytest

from tapi_agent.adapters import postgres
from tapi_agent.adapters.postgres.queries import Queries, load_queries, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

TEXT: Final = """
-- A file about things.

-- name: first
-- Why it is so.
SELECT 1  -- kept: it may be part of a line
FROM things

-- name: second
SELECT 2
"""


def test_a_file_is_its_queries_without_names_and_comment_lines() -> None:
    assert parse(TEXT, "things.sql") == {
        "first": "SELECT 1  -- kept: it may be part of a line\nFROM things",
        "second": "SELECT 2",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("SELECT 1", "SQL before the first", id="no name"),
        pytest.param("-- name: two words\nSELECT 1", "'two words' is no new name", id="bad name"),
        pytest.param("-- name: a\nSELECT 1\n-- name: a\nSELECT 2", "'a' is no new name", id="repeated"),
        pytest.param("-- name: a\n-- only words", "'a' has no SQL", id="empty"),
    ],
)
def test_a_file_that_could_be_misread_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(text, "things.sql")


def test_an_unknown_query_names_those_there_are() -> None:
    with pytest.raises(AttributeError, match=r"partitions\.sql has no query 'lock_parrot'; it has: lock_parent, "):
        _ = load_queries("partitions").lock_parrot


def modules() -> Iterator[ModuleType]:
    for module in pkgutil.iter_modules(postgres.__path__, f"{postgres.__name__}."):
        yield importlib.import_module(module.name)


def used() -> set[tuple[str, str]]:
    """Every (file, query) that Python takes."""
    pairs: set[tuple[str, str]] = set()
    for module in modules():
        files = {name: value._file for name, value in vars(module).items() if isinstance(value, Queries)}
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in files:
                pairs.add((files[node.value.id].removesuffix(".sql"), node.attr))
    return pairs


def written() -> set[tuple[str, str]]:
    """Every (file, query) that ``sql/`` holds."""
    files = resources.files(postgres).joinpath("sql").iterdir()
    names = [file.name.removesuffix(".sql") for file in files]
    return {(name, query) for name in names for query, _ in load_queries(name)}


def test_python_takes_every_query_there_is_and_no_other() -> None:
    assert used() == written()
