from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.domain.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

THREE = {
    "0001_first.sql": "CREATE TABLE a (n integer); INSERT INTO a VALUES (1);",
    "0002_second.sql": "CREATE TABLE b (n integer);\nALTER TABLE a ADD COLUMN m integer; -- 100% of it\n",
    "0003_third.sql": "CREATE TABLE c (n integer)",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write(tmp_path, THREE)


def write(directory: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


def migrator(dsn: str, directory: Path) -> Migrator:
    return Migrator(dsn=dsn, directory=directory, agent_version="1.2.3")


def tables(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
        return [name for (name,) in connection.execute(query)]


async def test_files_are_applied_in_order_and_recorded(every_empty_dsn: str, directory: Path) -> None:
    told: list[int] = []
    applied = await migrator(every_empty_dsn, directory).up(lambda one: told.append(one.version))
    assert told == [one.version for one in applied] == [1, 2, 3]
    assert {one.agent_version for one in applied} == {"1.2.3"}
    assert tables(every_empty_dsn) == ["a", "b", "c", "schema_migrations"]


async def test_applying_again_does_nothing(empty_database_dsn: str, directory: Path) -> None:
    await migrator(empty_database_dsn, directory).up()
    assert await migrator(empty_database_dsn, directory).up() == []


async def test_a_later_package_adds_what_is_new(empty_database_dsn: str, directory: Path) -> None:
    await migrator(empty_database_dsn, directory).up()
    write(directory, {"0004_fourth.sql": "CREATE TABLE d ()"})
    assert [one.name for one in await migrator(empty_database_dsn, directory).up()] == ["fourth"]


async def test_status_tells_what_is_applied_and_changes_nothing(empty_database_dsn: str, directory: Path) -> None:
    fresh = migrator(empty_database_dsn, directory)
    assert [(one.version, one.name, one.applied) for one in await fresh.status()] == [
        (1, "first", None),
        (2, "second", None),
        (3, "third", None),
    ]
    assert tables(empty_database_dsn) == []
    applied = await fresh.up()
    assert [one.applied for one in await fresh.status()] == applied


@pytest.mark.parametrize("call", ["up", "status"])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"0002_second.sql": "SELECT 1"}, "0002_second is not .*: the file was edited", id="edited"),
        pytest.param({"0001_first.sql": ""}, "0001_first is not .*: the file was edited", id="emptied"),
    ],
)
async def test_an_edited_file_is_refused(
    empty_database_dsn: str, directory: Path, call: str, change: dict[str, str], complaint: str
) -> None:
    await migrator(empty_database_dsn, directory).up()
    write(directory, change)
    with pytest.raises(ConfigurationError, match=complaint) as error:
        await getattr(migrator(empty_database_dsn, directory), call)()
    assert error.value.fix == "restore the file; changes belong in a new migration"


async def test_a_renamed_file_is_refused(empty_database_dsn: str, directory: Path) -> None:
    await migrator(empty_database_dsn, directory).up()
    (directory / "0002_second.sql").rename(directory / "0002_other.sql")
    with pytest.raises(ConfigurationError, match="0002_other is not what was applied as 0002_second"):
        await migrator(empty_database_dsn, directory).up()


async def test_a_database_newer_than_the_package_is_refused(empty_database_dsn: str, directory: Path) -> None:
    await migrator(empty_database_dsn, directory).up()
    (directory / "0003_third.sql").unlink()
    with pytest.raises(ConfigurationError, match="the database is at migration 0003, this package ends at 0002"):
        await migrator(empty_database_dsn, directory).up()


async def test_a_skipped_migration_is_refused(empty_database_dsn: str, directory: Path) -> None:
    await migrator(empty_database_dsn, directory).up()
    with psycopg.connect(empty_database_dsn) as connection:
        connection.execute("DELETE FROM schema_migrations WHERE version = 2")
    with pytest.raises(ConfigurationError, match="0002_second was skipped"):
        await migrator(empty_database_dsn, directory).up()


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        pytest.param({}, "no migrations", id="none"),
        pytest.param({"0002_second.sql": ""}, "0001 is missing", id="no first"),
        pytest.param({"0001_a.sql": "", "0003_c.sql": ""}, "0002 is missing", id="gap"),
        pytest.param({"0001_a.sql": "", "0001_b.sql": ""}, "0002 is missing", id="number twice"),
        pytest.param({"1_a.sql": ""}, "1_a.sql is no name for a migration", id="stray name"),
    ],
)
async def test_a_directory_that_is_not_whole_is_refused_before_connecting(
    tmp_path: Path, files: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        await migrator("host=/nonexistent", write(tmp_path, files)).up()


async def test_a_file_that_fails_leaves_nothing_and_can_be_mended(empty_database_dsn: str, directory: Path) -> None:
    write(directory, {"0002_second.sql": "CREATE TABLE b (n integer); SELECT nonsense(1)"})
    with pytest.raises(UnavailableError, match="nonsense"):
        await migrator(empty_database_dsn, directory).up()
    write(directory, {"0002_second.sql": "CREATE TABLE b (n integer); CREATE TABLE a ()"})
    with pytest.raises(ConfigurationError, match=r'migration 0002_second fails: .* "a" already exists'):
        await migrator(empty_database_dsn, directory).up()
    assert tables(empty_database_dsn) == ["a", "schema_migrations"]
    write(directory, THREE)
    assert [one.version for one in await migrator(empty_database_dsn, directory).up()] == [2, 3]


async def test_several_at_once_apply_each_file_once(every_empty_dsn: str, directory: Path) -> None:
    runs = await asyncio.gather(*(migrator(every_empty_dsn, directory).up() for _ in range(5)))
    assert sorted(one.version for run in runs for one in run) == [1, 2, 3]


async def test_killed_half_way_it_resumes(empty_database_dsn: str, directory: Path) -> None:
    await migrator(empty_database_dsn, write(directory, {"0002_second.sql": "CREATE TABLE b ()"})).up()
    later = {f"000{number}_more.sql": f"CREATE TABLE t{number} ()" for number in (4, 6)}
    write(directory, later | {"0005_more.sql": "CREATE TABLE t5 (); LOCK TABLE a"})
    with psycopg.connect(empty_database_dsn) as blocker:
        blocker.execute("LOCK TABLE a")
        await kill_while_it_waits(empty_database_dsn, directory)
        assert tables(empty_database_dsn) == ["a", "b", "c", "schema_migrations", "t4"]
    assert [one.version for one in await migrator(empty_database_dsn, directory).up()] == [5, 6]


async def kill_while_it_waits(dsn: str, directory: Path) -> None:
    """Migrate in a process of its own, and SIGKILL it once it has come to a lock that it cannot get."""
    program = Path(__file__).with_name("migrate.py")
    process = await asyncio.create_subprocess_exec(sys.executable, program, dsn, directory)
    async with asyncio.timeout(30), await psycopg.AsyncConnection.connect(dsn, autocommit=True) as watcher:
        waiting = "SELECT FROM pg_locks JOIN pg_class ON oid = relation WHERE relname = 'a' AND NOT granted"
        while not (await watcher.execute(waiting)).rowcount:
            assert process.returncode is None
    os.kill(process.pid, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL


async def test_without_a_server_it_is_unavailable(directory: Path) -> None:
    with pytest.raises(UnavailableError, match="/nonexistent"):
        await migrator("host=/nonexistent", directory).up()
