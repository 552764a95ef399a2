"""The pool of connections: ``Database.connection()`` is how every repository reaches PostgreSQL.

Owns the measured settings (ADR 0012). Starts and stays up without PostgreSQL, and heals by itself. Outages are not
logged here: whoever calls reports them to the connectivity service, which tells them once.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tapi_agent.adapters.postgres.connection import GuardedConnection, Link, complete
from tapi_agent.adapters.postgres.errors import translate
from tapi_agent.adapters.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_SQL: Final = load_queries("pool")
_ACQUIRE: Final = timedelta(seconds=1)
_SLACK: Final = timedelta(seconds=1)
"""What a statement gets beyond its timeout, for the server to say that it timed out."""
_MAX_WAITING: Final = 64
_RECONNECT_TIMEOUT: Final = 0.5


class Database:
    """A PostgreSQL database behind a pool of at most ``size`` connections.

    ``statement_timeout`` bounds each statement, on the server and, a second later, here.
    """

    def __init__(
        self,
        *,
        dsn: str,
        size: int = 10,
        connect_timeout: timedelta = timedelta(seconds=3),
        statement_timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        self._patience = statement_timeout + _SLACK
        self._link = Link()
        self._pool = AsyncConnectionPool(
            complete(dsn, connect_timeout=connect_timeout, session=_session(statement_timeout)),
            connection_class=GuardedConnection,
            kwargs={"row_factory": dict_row, "link": self._link},
            min_size=min(2, size),
            max_size=size,
            open=False,
            configure=self._configure,
            check=self._check,
            name="postgres",
            timeout=_ACQUIRE.total_seconds(),
            max_waiting=_MAX_WAITING,
            reconnect_timeout=_RECONNECT_TIMEOUT,
        )

    async def open(self) -> None:
        """Start connecting in the background; returns at once, whether PostgreSQL is there or not."""
        # The pool logs every attempt that fails, many times a minute through a whole outage.
        logging.getLogger("psycopg").setLevel(logging.ERROR)
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection; the object cannot be opened again."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self, *, statement_timeout: timedelta | None = None) -> AsyncIterator[GuardedConnection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Raises ``UnavailableError`` when there is no connection within a second, when it breaks, or when a statement
        takes too long (here longer than ``statement_timeout``, where it is given); ``DatabaseRejected`` when PostgreSQL
        refuses; ``IntegrityError`` when it reports damage. When COMMIT got no answer nobody knows whether it counted:
        blocks must bear to be repeated.
        """
        try:
            async with self._pool.connection() as connection:
                if statement_timeout is not None:
                    await _bound(connection, statement_timeout)
                yield connection
        except PoolTimeout as error:
            raise self._link.no_connection() from error
        except psycopg.Error as error:
            raise translate(error) from error

    def statistics(self) -> Mapping[str, int]:
        """What psycopg_pool counts, under its names: sizes as they are, the others since ``open``, times in ms."""
        return self._pool.get_stats()

    async def ping(self) -> None:
        """Return when PostgreSQL answers; raises ``UnavailableError`` when it does not."""
        async with self.connection():
            pass  # handing out a connection has just checked it

    async def _configure(self, connection: GuardedConnection) -> None:
        connection.patience = self._patience

    async def _check(self, connection: GuardedConnection) -> None:
        """The pool's check, without the patience of a statement: the caller was promised an answer within a second."""
        connection.patience = _ACQUIRE
        try:
            await self._pool.check_connection(connection)
        except psycopg.Error:
            # The server went away under all of them: trying one by one would outlast the caller.
            await self._pool.drain()
            raise
        connection.patience = self._patience


async def _bound(connection: GuardedConnection, limit: timedelta) -> None:
    """Until the transaction ends; the patience until the connection is handed out again (``_check``)."""
    await connection.execute(_SQL.bound_statements, {"timeout": _milliseconds(limit)})
    connection.patience = limit + _SLACK


def _milliseconds(duration: timedelta) -> str:
    """As PostgreSQL takes it when no unit is given."""
    return str(int(duration.total_seconds() * 1000))


def _session(statement_timeout: timedelta) -> dict[str, str]:
    return {
        "TimeZone": "UTC",
        "statement_timeout": _milliseconds(statement_timeout),
        "lock_timeout": "2000",
        "idle_in_transaction_session_timeout": "10000",
        "client_connection_check_interval": "1000",  # a statement nobody waits for any more ends, and frees its locks
    }
