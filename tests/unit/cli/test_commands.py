"""Commands that need no agent, and how every command ends."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from tapi_agent.cli import common, main, version
from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.settings import render_env_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., tuple[int, str, str]]

MANUAL = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Run the command with these arguments and settings: exit code, stdout, stderr."""
    state = tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp")  # sockets need a short path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAPI_STATE_DIR", state.name)
    monkeypatch.setattr(common, "SYSTEM_SOCKET", tmp_path / "none")

    def run(*arguments: str, **settings: str) -> tuple[int, str, str]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["tapi-agent", *arguments])
        with pytest.raises(SystemExit) as caught:
            main.main()
        code = caught.value.code
        return (int(code) if code else 0, *capsys.readouterr())

    with state:
        yield run


def groups() -> dict[str, list[str]]:
    """Every command, and the subcommands of each."""
    commands = {name: place.load(name) for name, place in main.PLACES.items()}
    return {name: sorted(getattr(command, "commands", {})) for name, command in commands.items()}


def test_every_command_is_documented_and_nothing_else() -> None:
    documented = set(re.findall(r"^### `tapi-agent ([a-z -]+?)(?: [A-Z\[].*)?`$", MANUAL, re.MULTILINE))
    existing = {f"{name} {sub}" for name, subs in groups().items() for sub in subs}
    existing |= {name for name, subs in groups().items() if not subs}
    assert documented == existing


def test_every_exit_code_is_documented() -> None:
    from tapi_agent.cli.exits import Exit  # noqa: PLC0415 - beside what it is compared with

    assert {int(code) for code in re.findall(r"^\| (\d+) \|", MANUAL, re.MULTILINE)} == set(Exit)


@pytest.mark.parametrize("arguments", [[], ["--help"]], ids=["nothing", "--help"])
def test_help_shows_every_command_in_its_panel(run: Run, arguments: list[str]) -> None:
    _, out, err = run(*arguments)
    for word in (*main.PLACES, "Ask the running agent", "Operate"):
        assert word in out + err


@pytest.mark.parametrize("command", main.PLACES)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"Usage: tapi-agent {command}" in out


def test_a_misspelt_command_is_a_usage_error_with_a_suggestion(run: Run) -> None:
    code, _, err = run("statsu")
    assert code == 2
    assert "Did you mean 'status'?" in err


def test_version(run: Run) -> None:
    assert run("version") == (0, f"tapi-agent {importlib.metadata.version('tapi-agent')}\n", "")


def test_version_does_not_load_what_it_does_not_need() -> None:
    heavy = ["fastapi", "httpx", "psycopg", "pydantic_settings", "rich", "tapi_agent.daemon", "tapi_agent.settings"]
    source = f"""
import sys
from tapi_agent.cli.main import main
sys.argv = ["tapi-agent", "version"]
try:
    main()
except SystemExit:
    pass
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_bug_shows_its_traceback_and_asks_to_be_reported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "installed_version", {}.__getitem__)
    code, _, err = run("version")
    assert code == 70
    assert "KeyError: 'tapi-agent'" in err
    assert err.endswith("tapi-agent: this is a bug\n  → report it with the lines above\n")


def test_a_wrong_setting_is_named_by_every_command_that_reads_it(run: Run) -> None:
    for command in (["config", "check"], ["config", "show"], ["migrate", "status"], ["status"]):
        code, out, err = run(*command, BILLING_TIMEOUT_MS="soon")
        assert (code, out) == (78, "")
        assert err.startswith("tapi-agent: BILLING_TIMEOUT_MS (environment) is ")
        assert "allowed: " in err
        assert "Traceback" not in err


def test_config_show_masks_secrets_and_names_the_source(run: Run) -> None:
    code, out, _ = run("config", "show", "--json", BILLING_API_KEY="s3cret", TENANT_ID="acme")
    settings = {one["name"]: one for one in json.loads(out)["settings"]}
    assert (code, settings["TENANT_ID"]) == (0, {"name": "TENANT_ID", "value": "acme", "source": "environment"})
    assert "s3cret" not in out
    _, table, _ = run("config", "show")
    assert "TENANT_ID" in table
    assert "s3cret" not in table


def test_config_check_says_what_is_missing(run: Run) -> None:
    code, out, _ = run("config", "check")
    assert (code, out.splitlines()[0]) == (0, "the settings are valid, but:")
    assert "!  TENANT_ID is not set" in out
    complete = {"TENANT_ID": "t", "BILLING_SERVICE_URL": "https://b.example/api/v1", "BILLING_API_KEY": "k"}
    assert run("config", "check", **complete) == (0, "the settings are valid\n", "")


def test_config_template_is_the_one_that_is_shipped(run: Run) -> None:
    assert run("config", "template") == (0, render_env_template(), "")


def process(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own: what configures logging is not for this one."""
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as state:
        return subprocess.run(
            [sys.executable, "-m", "tapi_agent", *arguments],
            env={**os.environ, "TAPI_STATE_DIR": state, **settings},
            cwd=state,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TAPI_SOCKET", "/proc/agent.sock", "tapi-agent: cannot listen on /proc/agent.sock"),
        ("BILLING_TIMEOUT_MS", "soon", "tapi-agent: BILLING_TIMEOUT_MS (environment) is "),
    ],
    ids=["socket", "wrong value"],
)
def test_run_ends_with_78_where_a_setting_is_to_blame(name: str, value: str, said: str) -> None:
    done = process("run", **{name: value})
    assert (done.returncode, done.stdout) == (78, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_sandbox_refuses_a_ledger_it_cannot_write(run: Run) -> None:
    code, _, err = run("sandbox", "--state", "/proc/ledger.db", "--port", "0")
    assert code == 78
    assert err.startswith("tapi-agent: ")


def test_the_demo_is_one_of_the_commands() -> None:
    assert main.PLACES["demo"].load("demo").name == "demo"


def test_migrate_up_and_status(empty_database_dsn: str) -> None:
    def migrate(*arguments: str) -> str:
        done = process("migrate", *arguments, POSTGRES_DSN=empty_database_dsn)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert re.search(r"^0001 +core +no *$", migrate("status"), re.MULTILINE)
    assert migrate("up").splitlines()[0] == "applied 0001 core"
    assert migrate("up") == "0 applied; the schema is up to date\n"
    assert all(one["applied_at"] for one in json.loads(migrate("status", "--json"))["migrations"])


def test_migrate_without_a_database_says_so() -> None:
    done = process("migrate", "status", "--json", POSTGRES_DSN="host=/nonexistent")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("tapi-agent: PostgreSQL gave no answer")


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        (["configured", "system"], "configured"),
        (["configured"], "configured"),
        (["system"], "system"),
        ([], "configured"),
    ],
)
def test_where_an_agent_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: list[str], expected: str
) -> None:
    for name in existing:
        (tmp_path / name).touch()
    monkeypatch.setenv("TAPI_SOCKET", str(tmp_path / "configured"))
    monkeypatch.setattr(common, "SYSTEM_SOCKET", tmp_path / "system")
    assert common.expected_socket() == tmp_path / expected


def test_settings_that_are_wrong_do_not_hide_the_systems_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_TIMEOUT_MS", "soon")
    monkeypatch.setattr(common, "SYSTEM_SOCKET", tmp_path / "s")
    with pytest.raises(ConfigurationError):
        common.expected_socket()
    (tmp_path / "s").touch()
    assert common.expected_socket() == tmp_path / "s"


def test_a_folder_we_may_not_look_into_may_hold_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(type(tmp_path)):
        def exists(self, **_: bool) -> bool:
            raise PermissionError(self)

    monkeypatch.setattr(common, "SYSTEM_SOCKET", Closed(tmp_path / "s"))
    monkeypatch.setenv("TAPI_SOCKET", str(tmp_path / "none"))
    assert common.expected_socket() == tmp_path / "s"


def test_the_program_is_also_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "tapi_agent", "version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "tapi-agent")


def test_typer_is_what_makes_the_commands() -> None:
    assert isinstance(main.app, typer.Typer)


def test_damaged_metadata_of_some_package_on_the_machine_stops_no_command(tmp_path: Path) -> None:
    """pydantic looks for plugins of its own in every package, and raises at the first that it cannot read."""
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pydantic]\nno equals sign\n")
    done = subprocess.run(
        [sys.executable, "-m", "tapi_agent", "config", "show", "--json"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
