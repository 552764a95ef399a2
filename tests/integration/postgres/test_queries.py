"""Every query of every file is accepted by a migrated server: names, columns, types."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING, Final

import psycopg
import pytest

from tapi_agent.adapters import postgres
from tapi_agent.adapters.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tapi_agent.testing.engines import RunningEngines

UTILITY: Final = {
    "import_staging.",
    "maintenance.refresh_view",
    "migrations.bootstrap",
    "partitions.attach_month",
    "partitions.create_month",
    "retirement.detach_month",
    "retirement.drop_month",
    "retirement.finalize_month",
    "retirement.is_empty",
    "retirement.mark_month",
    "retirement.unmark_month",
    "usage.copy_events",
    "usage_proof.one_instant",
}
"""Statements that PostgreSQL does not prepare, or files of such; each is executed by a test of its user."""


def queries() -> Iterator[object]:
    for file in sorted(resources.files(postgres).joinpath("sql").iterdir(), key=lambda file: file.name):
        name = file.name.removesuffix(".sql")
        yield from (pytest.param(text, id=f"{name}.{query}") for query, text in load_queries(name))


def numbered(query: str) -> str:
    """psycopg's placeholders as PostgreSQL's: ``%(name)s`` → ``$1``."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", query)))
    return re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", query).replace("%%", "%")


@pytest.fixture
def migrated(shared_engines: RunningEngines, migrated_template: str) -> Iterator[psycopg.Connection]:
    """The template itself: nothing here changes it. Temporary tables of an import are there as in its session."""
    with psycopg.connect(shared_engines.dsn, dbname=migrated_template, autocommit=True) as connection:
        for _, text in load_queries("import_staging"):
            if text.startswith("CREATE TEMP TABLE"):
                connection.execute(text)
        yield connection


@pytest.mark.parametrize("query", list(queries()))
def test_the_server_accepts(request: pytest.FixtureRequest, migrated: psycopg.Connection, query: str) -> None:
    if request.node.callspec.id.startswith(tuple(UTILITY)):
        with pytest.raises(psycopg.errors.SyntaxError):
            migrated.execute(f"PREPARE this AS {numbered(query)}")
        return
    migrated.execute(f"PREPARE this AS {numbered(query)}")
    migrated.execute("DEALLOCATE this")
