"""One connection that can neither hang its caller nor keep its reason to itself.

Owns how a DSN is completed, the client-side limit on waiting, and the memory of why the last attempt to connect failed.
Called by ``Database`` and ``Migrator``.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow
from typing_extensions import override

from tapi_agent.adapters.postgres.errors import said
from tapi_agent.domain.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg.abc import RV, PQGen

_DEFAULTS: Final[dict[str, str | int | None]] = {
    "application_name": "tapi-agent",
    "target_session_attrs": "read-write",  # of several hosts, the primary
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,  # milliseconds; libpq ignores all four on a Unix socket
}


def complete(dsn: str, *, connect_timeout: timedelta, session: Mapping[str, str]) -> str:
    """``dsn`` (URL or key=value) with our defaults below it and the ``session`` settings above it.

    Settings travel in the start-up packet: setting them by statement would cost a round trip that a hung server never
    answers. Raises ``ConfigurationError`` for a malformed DSN.
    """
    given = _parse(dsn)
    options = [str(given.get("options", "")), *(f"-c {name}={value}" for name, value in session.items())]
    given["options"] = " ".join(options)
    given["connect_timeout"] = max(1, round(connect_timeout.total_seconds()))
    return make_conninfo("", **_DEFAULTS | given)


def _parse(dsn: str) -> dict[str, str | int | None]:
    """The DSN's parts. A complaint never quotes them: in a malformed DSN any part may be a piece of the password."""
    fix = "write it as postgresql://user:password@host:5432/database, with @ / : # ? in the password percent-encoded"
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.Error:
        raise ConfigurationError("the PostgreSQL DSN cannot be read", fix=fix) from None
    host, port = str(given.get("host", "")), str(given.get("port", "5432"))
    socket_folder = host.startswith(("/", "@"))
    if ("@" in host and not socket_folder) or not all(number.isdecimal() for number in port.split(",")):
        raise ConfigurationError("the PostgreSQL DSN has no valid host and port", fix=fix)
    return dict(given)


@dataclass(slots=True)
class Link:
    """What the last attempt to connect came to; ``None`` after a success."""

    failure: psycopg.Error | None = None

    def no_connection(self) -> UnavailableError:
        """Why there is no connection to be had right now."""
        if self.failure is None:
            return UnavailableError(
                "no connection to PostgreSQL in time: all are in use, or the server hangs",
                fix="look in pg_stat_activity for what holds them; raise POSTGRES_POOL_SIZE if all are at work",
            )
        return UnavailableError(
            f"PostgreSQL is unreachable: {said(self.failure)}", fix="start PostgreSQL, or correct its DSN"
        )


class GuardedConnection(psycopg.AsyncConnection[DictRow]):
    """A connection whose every wait ends: after ``patience`` the cable is cut, and the waiting statement fails.

    Server-side timeouts do not help against a server that is stopped, and a canceled statement would go on waiting for
    the server's word. A connection that was cut is broken for good; the pool replaces it.
    """

    patience: timedelta = timedelta(seconds=6)
    _limit: asyncio.TimerHandle

    @override
    @classmethod
    async def connect(cls, conninfo: str = "", *, link: Link, **settings: Any) -> Self:  # type: ignore[override]
        """Connect, and note in ``link`` how it went."""
        try:
            connection = await super().connect(conninfo, **settings)
        except psycopg.Error as error:
            link.failure = error
            raise
        link.failure = None
        return connection

    @override
    async def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        self._watch()
        try:
            return await super().wait(gen, *args, **kwargs)
        except psycopg.OperationalError as error:
            if asyncio.get_running_loop().time() < self._limit.when():
                raise
            raise psycopg.OperationalError(f"silent for {self.patience.total_seconds():g} s") from error
        finally:
            self._limit.cancel()

    def _watch(self) -> None:
        self._limit = asyncio.get_running_loop().call_later(self.patience.total_seconds(), self._cut_if_silent)

    def _cut_if_silent(self) -> None:
        """Unless an answer has come that nobody had the time to read: then it was this process that stood still."""
        with closing(socket.socket(fileno=os.dup(self.pgconn.socket))) as cable, suppress(OSError):
            if _has_arrived(cable):
                self._watch()
            else:  # shut down, the waiting side reads an end of file; closing it would wake nobody
                cable.shutdown(socket.SHUT_RDWR)


def _has_arrived(cable: socket.socket) -> bool:
    poll = select.poll()
    poll.register(cable, select.POLLIN)
    return bool(poll.poll(0))
