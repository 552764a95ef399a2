"""PostgreSQL as a child process: own cluster, own access rules, a Unix socket and nothing else."""

from __future__ import annotations

from datetime import timedelta
from signal import SIGINT, SIGKILL, SIGQUIT
from typing import TYPE_CHECKING, ClassVar, Final

from typing_extensions import override

from tapi_agent.adapters.engines import cluster, wheels
from tapi_agent.adapters.engines.account import agent_account
from tapi_agent.adapters.engines.engine import Answer, Engine
from tapi_agent.adapters.engines.places import check_owner, give
from tapi_agent.adapters.engines.process import held, recorded_pid, run
from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from signal import Signals

_PROBE_TIMEOUT: Final = timedelta(seconds=5)
_ANSWERS: Final = {0: Answer.READY, 1: Answer.BUSY}
"""pg_isready's exit status; 2 is no response."""


class EmbeddedPostgres(Engine):
    """PostgreSQL below ``state_dir/postgres``; ``dsn`` is known before ``start``.

    Role ``tapi`` owns database ``tapi`` and is no superuser, as on a production server. It is known by the agent's
    operating-system user (peer), or, where that has no name, by a generated password in a file only the agent reads.
    """

    name: ClassVar[str] = "postgres"
    program: ClassVar[str] = "postgres"
    # fast, immediate (recovers from its log at the next start), and the kernel's word for a server that hangs
    stop_signals: ClassVar[Sequence[Signals]] = (SIGINT, SIGQUIT, SIGKILL)

    def __init__(
        self,
        state_dir: Path,
        *,
        start_within: timedelta = timedelta(seconds=60),
        stop_within: timedelta = timedelta(seconds=30),
    ) -> None:
        super().__init__(
            state_dir,
            wheel=wheels.postgres(),
            socket=".s.PGSQL.5432",
            start_within=start_within,
            stop_within=stop_within,
        )
        self._agent = agent_account()
        self._data = self._home / "data"
        self._password_file = self._data / "tapi.pgpass"

    @property
    def dsn(self) -> str:
        """A conninfo without a secret in it; where a password is needed, libpq reads it from the file named there."""
        fields = {"host": str(self._run), "port": "5432", "dbname": "tapi", "user": "tapi"}
        if self._agent.name is None:
            fields["passfile"] = str(self._password_file)
        return " ".join(f"{key}={_conninfo(value)}" for key, value in fields.items())

    @property
    @override
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    @property
    @override
    def _mark(self) -> Path:
        return self._data

    @override
    def _argv(self) -> tuple[str, ...]:
        settings = cluster.settings(self._home).items()
        options = (part for key, value in settings for part in ("-c", f"{key}={value}"))
        return (self._wheel.program(self.program), "-D", str(self._data), *options)

    @override
    async def _prepare(self) -> None:
        for directory in (self._run, self._home / "log"):
            give(directory, self._account)
        await self._refuse_second_server()
        if not self._data.exists():
            await cluster.create(self._data, wheel=self._wheel, account=self._account)
        check_owner(self._data, self._account)
        self._forget_reused_pid()
        if self._agent.name is None and not self._password_file.exists():
            await cluster.set_password(self._password_file, data=self._data, wheel=self._wheel, account=self._account)
        cluster.write_access_rules(self._home, agent=self._agent.name, account=self._account)

    async def _refuse_second_server(self) -> None:
        if await self._probe() is not Answer.SILENT:
            raise UnavailableError(
                f"another PostgreSQL answers on {self._socket}, and it is no process this agent can see",
                fix="stop the other agent or container that uses this state directory",
            )

    def _forget_reused_pid(self) -> None:
        """Remove lock files whose pid is a stranger's by now: PostgreSQL would take that for a running server.

        A dead pid's files stay, so that PostgreSQL makes its own checks (shared memory still in use by a backend).
        """
        for lock in (self._pid_file, self._socket.with_name(f"{self._socket.name}.lock")):
            pid = recorded_pid(lock)
            if pid is not None and held(pid) is not None:
                lock.unlink(missing_ok=True)

    @override
    async def _probe(self) -> Answer:
        where = ("--host", str(self._run), "--port", "5432", "--username", "tapi", "--dbname", "tapi", "--timeout", "2")
        probe = (self._wheel.program("pg_isready"), *where)
        status, _ = await run(probe, account=self._agent, deadline=_PROBE_TIMEOUT)
        return _ANSWERS.get(status, Answer.SILENT)

    @property
    @override
    def _where_to_look(self) -> str:
        return f"look into {self._output} and {self._home / 'log'}"


def _conninfo(value: str) -> str:
    if value and not set(value) & set(" '\\"):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
