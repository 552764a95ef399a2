"""PostgreSQL's own wheel, really started: what it is, who gets in, what it survives."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tapi_agent.adapters.engines import EmbeddedPostgres, EngineState, cluster, wheels
from tapi_agent.adapters.engines.account import engine_account
from tapi_agent.domain.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.testing.engines import RunningEngines

DEADLINE = 30


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


def ask(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        cursor = connection.execute(query)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("SELECT 1", 1, id="answers"),
        pytest.param("SHOW server_version_num", "18", id="version 18"),
        pytest.param("SHOW data_checksums", "on", id="checksums"),
        pytest.param("SHOW server_encoding", "UTF8", id="encoding"),
        pytest.param("SELECT datcollate FROM pg_database WHERE datname = 'tapi'", "C", id="locale"),
        pytest.param("SHOW listen_addresses", "", id="no tcp"),
        pytest.param("SHOW fsync", "on", id="fsync"),
        pytest.param("SHOW full_page_writes", "on", id="full page writes"),
        pytest.param("SHOW synchronous_commit", "on", id="synchronous commit"),
        pytest.param("SHOW shared_buffers", "64MB", id="shared buffers"),
        pytest.param("SHOW max_connections", "40", id="connections"),
        pytest.param("SHOW timezone", "UTC", id="time zone"),
        pytest.param("SHOW logging_collector", "on", id="log collector"),
        pytest.param("SELECT rolsuper FROM pg_roles WHERE rolname = 'tapi'", False, id="role is no superuser"),
        pytest.param("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'tapi'", "tapi", id="owner"),
        pytest.param("SELECT count(*) FROM pg_hba_file_rules", None, id="role cannot read the rules"),
    ],
)
def test_a_fresh_server_is_as_designed(engines: RunningEngines, query: str, expected: object) -> None:
    if expected is None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(engines.dsn, query)
        return
    got = ask(engines.dsn, query)
    assert got == expected or (expected == "18" and str(got).startswith("18"))


def test_the_role_may_create_a_database_for_each_test(engines: RunningEngines) -> None:
    with psycopg.connect(engines.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE another")
        connection.execute("DROP DATABASE another")


def test_only_the_role_tapi_may_log_in(engines: RunningEngines) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
        psycopg.connect(engines.dsn, user="postgres", dbname="postgres")


def rules(path: Path) -> list[list[str]]:
    lines = (line.split("#")[0].split() for line in path.read_text().splitlines())
    return [line for line in lines if line]


async def test_no_rule_trusts_and_no_host_gets_in(postgres: EmbeddedPostgres, state_dir: Path) -> None:
    ours, initdbs = (rules(state_dir / "postgres" / name) for name in ("pg_hba.conf", "data/pg_hba.conf"))
    assert postgres.pid
    for rule in (*ours, *initdbs):
        assert "trust" not in rule
        assert rule[0] == "local" or rule[-1] == "reject"
    assert [rule for rule in ours if rule[-1] != "reject"] == [["local", "all", "tapi", "peer", "map=agent"]]
    assert all(rule[-1] == "reject" for rule in initdbs)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize(
    ("user", "role", "refusal"),
    [
        pytest.param("nobody", "tapi", "Permission denied", id="a stranger does not reach the socket"),
        pytest.param("postgres", "tapi", "Peer authentication failed", id="the engine's own user is not the agent"),
        pytest.param("postgres", "postgres", "pg_hba.conf rejects", id="nobody is superuser"),
    ],
)
async def test_another_user_is_refused(postgres: EmbeddedPostgres, user: str, role: str, refusal: str) -> None:
    host = conninfo_to_dict(postgres.dsn)["host"]
    entry = pwd.getpwnam(user)
    command = [wheels.postgres().program("psql"), "--host", str(host), "--username", role, "--dbname", "tapi"]
    refused = subprocess.run(  # noqa: ASYNC221 - nothing else runs in this loop
        command, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert refusal in refused.stderr


async def test_the_dsn_is_known_before_the_start(state_dir: Path) -> None:
    engine = EmbeddedPostgres(state_dir)
    before = engine.dsn
    await engine.start()
    assert engine.dsn == before
    assert ask(before, "SELECT current_database()") == "tapi"


async def test_a_second_start_does_nothing(postgres: EmbeddedPostgres) -> None:
    pid = postgres.pid
    await postgres.start()
    assert (postgres.pid, postgres.adopted, postgres.state) == (pid, False, EngineState.RUNNING)


async def test_ctrl_c_in_the_agents_terminal_does_not_reach_it(postgres: EmbeddedPostgres) -> None:
    assert postgres.pid is not None
    assert os.getsid(postgres.pid) == postgres.pid != os.getsid(0)


async def test_stop_keeps_the_data_and_start_brings_it_back(postgres: EmbeddedPostgres) -> None:
    ask(postgres.dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    await postgres.stop()
    assert (postgres.pid, postgres.state) == (None, EngineState.STOPPED)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.dsn)
    await postgres.start()
    assert ask(postgres.dsn, "SELECT n FROM kept") == 7


async def test_stop_without_start_is_harmless(state_dir: Path) -> None:
    engine = EmbeddedPostgres(state_dir)
    await engine.stop()
    assert engine.state is EngineState.STOPPED


async def test_supervision_restarts_a_killed_server(initialized: Path) -> None:
    engine = EmbeddedPostgres(initialized)
    task = asyncio.create_task(engine.supervise())
    await until(lambda: engine.state is EngineState.RUNNING)
    first = engine.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: engine.state is EngineState.FAILED)
    assert f"(pid {first}) died" in str(engine.last_error)
    await until(lambda: engine.state is EngineState.RUNNING)
    assert engine.pid not in {None, first}
    assert engine.last_error is None
    assert ask(engine.dsn, "SELECT 1") == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert engine.pid is not None


async def test_supervision_reports_what_it_cannot_start_and_heals(postgres: EmbeddedPostgres, state_dir: Path) -> None:
    await postgres.stop()
    version = state_dir / "postgres/data/PG_VERSION"
    version.write_text("9\n")
    task = asyncio.create_task(postgres.supervise())
    await until(lambda: postgres.last_error is not None)
    assert "not compatible with this version" in str(postgres.last_error)
    assert str(state_dir) in postgres.last_error.fix  # type: ignore[union-attr]
    version.write_text("18\n")
    await until(lambda: postgres.state is EngineState.RUNNING)
    assert postgres.last_error is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("lock", ["data/postmaster.pid", "run/.s.PGSQL.5432.lock"])
async def test_a_pid_reused_by_another_process_is_not_mistaken(
    postgres: EmbeddedPostgres, state_dir: Path, lock: str
) -> None:
    await postgres.stop()
    target = state_dir / "postgres/data"
    stranger = await asyncio.create_subprocess_exec(
        "tail", "-f", "/dev/null", str(target), **engine_account().identity()
    )
    account = engine_account()
    file = state_dir / "postgres" / lock
    file.write_text(f"{stranger.pid}\n{target}\n")
    os.chown(file, account.uid, account.gid)
    await postgres.start()
    assert postgres.pid not in {None, stranger.pid}
    assert not postgres.adopted
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


async def test_a_stale_pid_file_is_no_obstacle(postgres: EmbeddedPostgres, state_dir: Path) -> None:
    first = postgres.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: postgres.pid is None)
    assert (state_dir / "postgres/data/postmaster.pid").read_text().startswith(str(first))
    engine = EmbeddedPostgres(state_dir)
    task = asyncio.create_task(engine.supervise())  # a backend of the dead server may take a moment to notice
    await until(lambda: engine.state is EngineState.RUNNING)
    assert not engine.adopted
    assert engine.pid != first
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_server_nobody_recognizes_is_left_alone(postgres: EmbeddedPostgres, state_dir: Path) -> None:
    pid_file = state_dir / "postgres/data/postmaster.pid"
    hidden = pid_file.rename(state_dir / "postgres/data/hidden")
    with pytest.raises(UnavailableError, match="another PostgreSQL answers"):
        await EmbeddedPostgres(state_dir).start()
    hidden.rename(pid_file)
    assert ask(postgres.dsn, "SELECT 1") == 1


async def test_an_adopted_server_without_its_socket_is_replaced(postgres: EmbeddedPostgres, state_dir: Path) -> None:
    first = postgres.pid
    (state_dir / "postgres/run/.s.PGSQL.5432").unlink()
    engine = EmbeddedPostgres(state_dir, start_within=timedelta(seconds=0.5))
    with pytest.raises(UnavailableError, match="postgres is silent"):
        await engine.start()
    await postgres.start()
    assert postgres.pid not in {None, first}
    assert ask(postgres.dsn, "SELECT 1") == 1


async def test_a_server_that_is_busy_is_waited_for(postgres: EmbeddedPostgres, state_dir: Path) -> None:
    """One that shuts down slowly answers like one that recovers slowly: killing it would only begin it all again."""
    engine = EmbeddedPostgres(state_dir, start_within=timedelta(seconds=0.5))
    pid = postgres.pid
    assert pid is not None
    with psycopg.connect(postgres.dsn):
        os.kill(pid, signal.SIGTERM)
        for _ in range(2):
            with pytest.raises(UnavailableError, match="postgres is busy"):
                await engine.start()
        assert engine.pid == pid
    await until(lambda: engine.pid is None)
    await postgres.start()
    assert postgres.pid != pid


async def test_a_server_that_hangs_is_killed_in_the_end(initialized: Path) -> None:
    engine = EmbeddedPostgres(initialized, stop_within=timedelta(seconds=0.2))
    await engine.start()
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)
    await engine.stop()
    assert engine.pid is None


async def test_leftovers_of_an_interrupted_initdb_are_removed(state_dir: Path) -> None:
    leftover = state_dir / "postgres/data.half"
    leftover.mkdir(parents=True)
    (leftover / "PG_VERSION").write_text("18\n")
    engine = EmbeddedPostgres(state_dir)
    await engine.start()
    assert not leftover.exists()
    assert ask(engine.dsn, "SELECT 1") == 1


async def test_a_cancelled_start_leaves_no_initdb_behind(state_dir: Path) -> None:
    engine = EmbeddedPostgres(state_dir)
    task = asyncio.create_task(engine.start())
    await until(lambda: any(state_dir.glob("postgres/data.*/base")))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert not any(b"initdb" in path.read_bytes() for path in command_lines(str(state_dir)))
    await engine.start()
    assert ask(engine.dsn, "SELECT 1") == 1


def command_lines(needle: str) -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if needle.encode() in path.read_bytes():
                found.append(path)
        except OSError:
            continue
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
async def test_data_of_another_user_is_a_clear_error(postgres: EmbeddedPostgres, state_dir: Path) -> None:
    await postgres.stop()
    os.chown(state_dir / "postgres/data", 54321, 54321)
    with pytest.raises(ConfigurationError, match="belongs to uid 54321") as caught:
        await postgres.start()
    assert "chown -R" in caught.value.fix
    assert postgres.state is EngineState.FAILED


async def test_a_command_that_fails_is_quoted(place: Path) -> None:
    missing = place / "missing"
    with pytest.raises(UnavailableError, match="postgres failed with status") as caught:
        await cluster.set_password(place / "pgpass", data=missing, wheel=wheels.postgres(), account=engine_account())
    assert str(missing) in str(caught.value)
    assert not (place / "pgpass").exists()


async def test_a_directory_that_cannot_be_made_is_a_reported_failure(place: Path) -> None:
    (place / "state").write_text("a file is in the way")
    engine = EmbeddedPostgres(place / "state")
    with pytest.raises(UnavailableError, match="postgres cannot be started"):
        await engine.start()
    assert engine.last_error is not None


async def test_a_path_with_a_space_and_a_quote_works(place: Path) -> None:
    engine = EmbeddedPostgres(place / "it's a box")
    await engine.start()
    assert ask(engine.dsn, "SELECT 1") == 1
    await engine.stop()
