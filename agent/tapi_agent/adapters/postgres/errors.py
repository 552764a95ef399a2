"""What a PostgreSQL error means to the caller: the one place that knows SQLSTATEs.

Owns the mapping from psycopg's classes to the three errors a caller can act on. Called by ``Database`` and
``Migrator``; a repository never catches psycopg's own classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg

from tapi_agent.domain.errors import IntegrityError, RejectedError, UnavailableError

if TYPE_CHECKING:
    from tapi_agent.domain.errors import TapiError

_SCHEMA_BEHIND: Final = frozenset({"3F000", "42P01", "42703", "42883"})
"""Schema, table, column or function unknown: the code is newer than the schema, and migrations are on their way."""

_CORRUPT: Final = frozenset({"XX001", "XX002"})

_TRY_AGAIN_CLASSES: Final = frozenset({
    "08",  # connection
    "28",  # authentication: an operator mends it, nothing was decided until then
    "3D",  # the database does not exist (yet)
    "40",  # serialization failure, deadlock
    "53",  # disk full, out of memory, too many connections
    "57",  # shutdown, cancel, statement timeout
    "58",  # the server's own I/O
    "72",  # snapshot too old
    "F0",  # the server's configuration
    "XX",  # internal error of the server
})  # fmt: skip

_TRY_AGAIN: Final = frozenset({
    "25006",  # read only: a standby, until the failover is done
    "25P03",  # idle in transaction for too long: the session is gone
    "25P04",  # transaction timeout: likewise
    "42501",  # privilege missing: an operator mends it
    "55006",  # object in use
    "55P03",  # lock not available in time
})  # fmt: skip

_CHECK_VIOLATION: Final = "23514"

_LONGEST_MESSAGE: Final = 300
"""A server message may quote the whole offending value."""


class DatabaseRejected(RejectedError):  # noqa: N818 - reads as the outcome it is, beside IllegalTransition
    """PostgreSQL refuses the statement for what it contains; unchanged, it will be refused again.

    ``constraint`` is the violated constraint's name.
    """

    def __init__(self, message: str, *, sqlstate: str, constraint: str | None = None) -> None:
        super().__init__(message, code="database_rejected")
        self.sqlstate = sqlstate
        self.constraint = constraint

    @property
    def lacks_month(self) -> bool:
        """Whether a row found no partition."""
        return self.sqlstate == _CHECK_VIOLATION and not self.constraint


def translate(error: psycopg.Error) -> TapiError:
    """What to raise in place of ``error``, with it as the cause."""
    state = error.sqlstate or ""
    if state in _SCHEMA_BEHIND:
        return UnavailableError(f"schema not migrated yet: {said(error)}", fix="tapi-agent migrate up")
    if state in _CORRUPT:
        return IntegrityError(f"PostgreSQL reports damaged data: {said(error)}", fix="restore from a backup")
    if _may_pass(error, state):
        return UnavailableError(f"PostgreSQL gave no answer: {said(error)}")
    return DatabaseRejected(f"PostgreSQL refuses: {said(error)}", sqlstate=state, constraint=error.diag.constraint_name)


def _may_pass(error: psycopg.Error, state: str) -> bool:
    """Whether the same statement may succeed later. Without SQLSTATE the client failed: its link, or its caller."""
    if not state:
        return isinstance(error, psycopg.OperationalError)
    return state[:2] in _TRY_AGAIN_CLASSES or state in _TRY_AGAIN


def said(error: psycopg.Error) -> str:
    """The primary message alone, on one line: DETAIL and CONTEXT quote rows."""
    words = (error.diag.message_primary or str(error)).split()
    return " ".join(words)[:_LONGEST_MESSAGE]
