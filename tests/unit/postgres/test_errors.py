"""Every class psycopg can raise has a meaning, and no SQLSTATE class was forgotten."""

from __future__ import annotations

import inspect
from typing import Final

import psycopg
import psycopg_pool
import pytest

from tapi_agent.adapters.postgres.errors import DatabaseRejected, translate
from tapi_agent.domain.errors import IntegrityError, TapiError, UnavailableError

# What a caller is told for each class of SQLSTATEs, and each state in it that differs: written out, so that an addition
# to psycopg fails here until somebody has thought about it.
REJECTED_CLASSES: Final = {
    "02", "03", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23", "24", "25", "26", "27", "2B",
    "2D", "2F", "34", "38", "39", "3B", "42", "44", "54", "55", "HV", "P0",
}  # fmt: skip
UNAVAILABLE_CLASSES: Final = {"08", "28", "3D", "3F", "40", "53", "57", "58", "72", "F0", "XX"}
UNAVAILABLE_STATES: Final = {"25006", "25P03", "25P04", "42501", "42703", "42883", "42P01", "55006", "55P03"}
DAMAGE: Final = {"XX001", "XX002"}


def classes_of(module: object) -> list[type[psycopg.Error]]:
    return [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, psycopg.Error)]


WITH_STATE: Final = [c for c in classes_of(psycopg.errors) if c.sqlstate]
WITHOUT_STATE: Final = sorted(
    {c for m in (psycopg.errors, psycopg_pool) for c in classes_of(m) if not c.sqlstate}, key=lambda c: c.__name__
)


def expected(state: str) -> type[TapiError]:
    if state in DAMAGE:
        return IntegrityError
    if state in UNAVAILABLE_STATES or state[:2] in UNAVAILABLE_CLASSES:
        return UnavailableError
    assert state[:2] in REJECTED_CLASSES, f"nobody has decided what SQLSTATE class {state[:2]} means"
    return DatabaseRejected


@pytest.mark.parametrize("error", WITH_STATE, ids=lambda error: f"{error.sqlstate}-{error.__name__}")
def test_every_sqlstate_has_one_meaning(error: type[psycopg.Error]) -> None:
    meaning = translate(error("said"))
    assert type(meaning) is expected(str(error.sqlstate))
    if isinstance(meaning, DatabaseRejected):
        assert meaning.sqlstate == error.sqlstate
        assert meaning.code == "database_rejected"


@pytest.mark.parametrize("error", WITHOUT_STATE, ids=lambda error: error.__name__)
def test_errors_of_the_client_are_its_link_or_its_caller(error: type[psycopg.Error]) -> None:
    meaning = UnavailableError if issubclass(error, psycopg.OperationalError) else DatabaseRejected
    assert type(translate(error("said"))) is meaning


def test_the_pools_own_errors_are_among_those_tried() -> None:
    assert {psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed, psycopg_pool.TooManyRequests} <= set(WITHOUT_STATE)


def test_a_missing_table_says_to_migrate() -> None:
    meaning = translate(psycopg.errors.UndefinedTable('relation "cameras" does not exist'))
    assert str(meaning) == 'schema not migrated yet: relation "cameras" does not exist'
    assert meaning.fix == "tapi-agent migrate up"


def test_a_message_is_one_line_of_bounded_length() -> None:
    message = str(translate(psycopg.errors.InvalidTextRepresentation("bad\n\n  value: " + "x" * 10_000)))
    assert message.startswith("PostgreSQL refuses: bad value: xxx")
    assert len(message) < 400
