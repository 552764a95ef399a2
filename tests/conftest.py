"""Fixtures every test may use: real PostgreSQL and Valkey, fresh databases, engines to kill, fixtures from outside."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
import redis
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tapi_agent.adapters.engines import EmbeddedPostgres, EmbeddedValkey, wheels
from tapi_agent.adapters.engines.wheels import Wheel
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.cli.output import console
from tapi_agent.testing.engines import running_engines
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tapi_agent.adapters.engines import Engine
    from tapi_agent.testing.engines import RunningEngines

CHECKOUT: Final = Path(__file__).parents[1]
MIGRATIONS: Final = CHECKOUT / "migrations"
_DEBIAN_15: Final = Path("/usr/lib/postgresql/15")
_PATIENCE: Final = 30.0


class Server:
    """A test's own engine, to which accidents happen; ``address`` is its DSN or URL."""

    def __init__(self, engine: Engine, address: str) -> None:
        self._engine = engine
        self.address = address

    def start(self) -> None:
        """Return when it answers. From a coroutine, call it by ``asyncio.to_thread``."""
        asyncio.run(self._engine.start())

    def kill(self) -> None:
        """SIGKILL, as the kernel out of memory would; its children end by themselves and are waited for."""
        family = self._family()
        os.kill(family[0], signal.SIGKILL)
        for pid in family:
            _gone(pid)

    def freeze(self) -> None:
        """SIGSTOP to the server and its children: connections stay, and nothing answers any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after ``freeze``."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, whatever was done to it."""
        self.thaw()
        asyncio.run(self._engine.stop())

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._family():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _family(self) -> list[int]:
        """The server, then its children; nobody when it does not run."""
        pid = self._engine.pid
        if pid is None:
            return []
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def _gone(pid: int) -> None:
    """Wait until a process has ended."""
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        select.select([process], [], [], _PATIENCE)
        os.close(process)


@contextmanager
def state_directory() -> Iterator[Path]:
    """A directory for an engine: its path short enough for a Unix socket, and open to the engine's user."""
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as directory:
        yield Path(directory)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Start it, and end it afterwards."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def private_postgres() -> Iterator[Server]:
    """A PostgreSQL of the test's own, to kill, freeze and start again; ``address`` is its DSN."""
    with state_directory() as directory:
        engine = EmbeddedPostgres(directory)
        with running(Server(engine, engine.dsn)) as server:
            yield server


@pytest.fixture
def private_valkey() -> Iterator[Server]:
    """A Valkey of the test's own, to kill, freeze and start again; ``address`` is its URL."""
    with state_directory() as directory:
        engine = EmbeddedValkey(directory)
        with running(Server(engine, engine.url)) as server:
            yield server


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateEngines:
    """Both."""

    postgres: Server
    valkey: Server


@pytest.fixture
def private_engines(private_postgres: Server, private_valkey: Server) -> PrivateEngines:
    """A PostgreSQL and a Valkey of the test's own."""
    return PrivateEngines(postgres=private_postgres, valkey=private_valkey)


@pytest.fixture(scope="session")
def shared_engines() -> Iterator[RunningEngines]:
    """One PostgreSQL and one Valkey for all tests of this worker. To stop them, take ``private_engines`` instead."""
    with running_engines() as engines:
        yield engines


_numbers = count()


@contextmanager
def fresh_database(server: str, *, template: str) -> Iterator[str]:
    """A copy of ``template`` on ``server`` while the block lasts: its DSN."""
    name = f"test_{next(_numbers)}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
        yield make_conninfo(server, dbname=name)
        drop = sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names)
        wait_until(lambda: _dropped(connection, drop), within=_PATIENCE, what=f"{name} dropped")


def _dropped(connection: psycopg.Connection, drop: sql.Composed) -> bool:
    """A worker of autovacuum may be in it just now, whom only a superuser may send away."""
    try:
        connection.execute(drop)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


@pytest.fixture(scope="session")
def migrated_template(shared_engines: RunningEngines) -> str:
    """Name of a database with every migration applied, to clone from: connect to it and cloning stops working."""
    with psycopg.connect(shared_engines.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    dsn = make_conninfo(shared_engines.dsn, dbname="migrated")
    asyncio.run(Migrator(dsn=dsn, directory=MIGRATIONS, agent_version="0").up())
    return "migrated"


@pytest.fixture
def database_dsn(shared_engines: RunningEngines, migrated_template: str) -> Iterator[str]:
    """DSN of a database of the test's own with every migration applied."""
    with fresh_database(shared_engines.dsn, template=migrated_template) as dsn:
        yield dsn


@pytest.fixture
def empty_database_dsn(shared_engines: RunningEngines) -> Iterator[str]:
    """DSN of a database of the test's own with nothing in it."""
    with fresh_database(shared_engines.dsn, template="template0") as dsn:
        yield dsn


@pytest.fixture(scope="session")
def postgres_15() -> Iterator[str]:
    """DSN of a PostgreSQL 15 for this worker's tests, where Debian's package is installed."""
    system = Wheel(distribution="postgresql", version="15", site=_DEBIAN_15, parts=("bin",), programs="bin")
    if not system.site.is_dir():
        pytest.skip("no PostgreSQL 15 on this machine")
    with state_directory() as directory:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wheels, "postgres", lambda: system)
            engine = EmbeddedPostgres(directory)
        with running(Server(engine, engine.dsn)) as server:
            yield server.address


@pytest.fixture(params=["18", "15"], ids="PostgreSQL {}".format)
def every_empty_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """DSN of an empty database of the test's own, on each version that the SQL must run on."""
    server = request.getfixturevalue("postgres_15") if request.param == "15" else None
    server = server or request.getfixturevalue("shared_engines").dsn
    with fresh_database(server, template="template0") as dsn:
        yield dsn


@pytest.fixture
def valkey_url(shared_engines: RunningEngines) -> str:
    """URL of this worker's Valkey, emptied."""
    with redis.Redis.from_url(shared_engines.url) as client:
        client.flushall()
    return shared_engines.url


@pytest.fixture(scope="session")
def shared_fixtures() -> Path:
    """Fixtures made by others, kept beside the checkout; a test that needs them is skipped where they are absent."""
    folder = CHECKOUT.parent / "shared" / "fixtures"
    if not folder.is_dir():
        pytest.skip("no shared/fixtures beside the checkout")
    return folder


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A terminal of 80 columns, whatever it was when the command line was imported; call it with another width."""

    def resize(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(console, "width", columns)

    resize(80)
    return resize
