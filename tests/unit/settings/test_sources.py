"""Where a value comes from: the order of the places, and what each of them refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.settings import describe, load, sources

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Place


@pytest.mark.parametrize(
    ("given", "value", "source"),
    [
        pytest.param((), 3, "default", id="nothing"),
        pytest.param(("toml",), 5, "agent.toml", id="toml"),
        pytest.param(("toml", "env"), 6, ".env", id="env over toml"),
        pytest.param(("toml", "environ"), 7, "environment", id="environment over toml"),
        pytest.param(("env", "environ"), 7, "environment", id="environment over env"),
        pytest.param(("toml", "env", "environ"), 7, "environment", id="all"),
    ],
)
def test_the_nearest_place_wins(place: Place, given: tuple[str, ...], value: int, source: str) -> None:
    if "toml" in given:
        place.toml("billing_max_retries = 5")
    if "env" in given:
        place.env("BILLING_MAX_RETRIES=6")
    environ = {"BILLING_MAX_RETRIES": "7"} if "environ" in given else {}
    settings = place.load(**environ)
    assert settings.billing_max_retries == value
    assert [row.source for row in describe(settings) if row.name == "BILLING_MAX_RETRIES"] == [source]


@pytest.mark.parametrize(
    ("given", "key", "source"),
    [
        pytest.param((), "from-credential", "credential", id="credential alone"),
        pytest.param(("toml",), "from-credential", "credential", id="credential over toml"),
        pytest.param(("env",), "from-env", ".env", id="env over credential"),
        pytest.param(("env", "environ"), "from-environ", "environment", id="environment over all"),
    ],
)
def test_the_credential_stands_between_toml_and_env(
    place: Place, given: tuple[str, ...], key: str, source: str
) -> None:
    place.credential("from-credential\n")
    if "toml" in given:
        place.toml('billing_api_key = "from-toml"')
    if "env" in given:
        place.env("BILLING_API_KEY=from-env")
    settings = place.load(**({"BILLING_API_KEY": "from-environ"} if "environ" in given else {}))
    assert settings.billing_api_key is not None
    assert settings.billing_api_key.get_secret_value() == key
    assert settings.origin("billing_api_key") == source


def test_a_credentials_directory_without_our_key_is_no_error(place: Place) -> None:
    assert place.load(CREDENTIALS_DIRECTORY=str(place.directory)).billing_api_key is None


@pytest.mark.parametrize("empty", ["", "  "], ids=["empty", "blank"])
def test_an_empty_value_is_not_given(place: Place, empty: str) -> None:
    place.toml('tenant_id = "acme"')
    place.env(f"TENANT_ID={empty}")
    settings = place.load(TENANT_ID=empty)
    assert (settings.tenant_id, settings.origin("tenant_id")) == ("acme", "agent.toml")


def test_files_are_found_by_their_variables(place: Place) -> None:
    (place.directory / "etc").mkdir()
    (place.directory / "etc/my.toml").write_text('tenant_id = "acme"')
    (place.directory / "etc/my.env").write_text("CAMERA_IDS=a,b")
    settings = place.load(TAPI_CONFIG="etc/my.toml", TAPI_ENV_FILE=str(place.directory / "etc/my.env"))
    assert (settings.tenant_id, settings.camera_ids) == ("acme", ("a", "b"))
    assert settings.tapi_config == place.directory / "etc/my.toml"


def test_without_arguments_it_looks_at_this_process(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.env("TENANT_ID=acme")
    monkeypatch.chdir(place.directory)
    monkeypatch.setenv("EDGE_DEVICE_ID", "box-7")
    settings = load()
    assert (settings.tenant_id, settings.edge_device_id) == ("acme", "box-7")


def test_a_deleted_working_directory_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigurationError, match="current directory is gone"):
        load({})


@pytest.mark.parametrize(
    ("line", "value"),
    [
        pytest.param("POSTGRES_PASSWORD=a b", "a b", id="bare"),
        pytest.param("POSTGRES_PASSWORD='#1 ${HOME}'", "#1 ${HOME}", id="nothing is expanded"),
        pytest.param('export POSTGRES_PASSWORD="x\\"y"  # remark', 'x"y', id="quotes and remark"),
        pytest.param("POSTGRES_PASSWORD=crlf\r", "crlf", id="windows line end"),
        pytest.param("\ufeffPOSTGRES_PASSWORD=bom", "bom", id="byte order mark"),
        pytest.param("POSTGRES_PASSWORD=1\nPOSTGRES_PASSWORD=2", "2", id="the last one counts"),
    ],
)
def test_env_syntax(place: Place, line: str, value: str) -> None:
    place.env(line)
    password = place.load().postgres_password
    assert password is not None
    assert password.get_secret_value() == value


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        pytest.param("api_port = 8080", "api_port", 8080, id="number"),
        pytest.param('api_port = "8080"', "api_port", 8080, id="number as text"),
        pytest.param("license_grace_hours = 0.5", "license_grace_hours", 0.5, id="decimal"),
        pytest.param("debug_mode = true", "debug_mode", True, id="boolean"),
        pytest.param('camera_ids = ["a", "b"]', "camera_ids", ("a", "b"), id="list"),
        pytest.param('camera_ids = "a, b, a,"', "camera_ids", ("a", "b"), id="list as text"),
        pytest.param('usage_db_max_bytes = "1 TiB"', "usage_db_max_bytes", 1024**4, id="size"),
    ],
)
def test_toml_syntax(place: Place, line: str, field: str, value: object) -> None:
    place.toml(line)
    assert getattr(place.load(), field) == value


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        pytest.param("tenant = 'x'", "'tenant' in agent.toml is not a setting; did you mean tenant_id?", id="misspelt"),
        pytest.param("TENANT_ID = 'x'", "'TENANT_ID' .* did you mean tenant_id?", id="upper case"),
        pytest.param("[billing]\nurl = 'x'", "'billing' in agent.toml is not a setting", id="table"),
        pytest.param("zzz = 1", "'zzz' in agent.toml is not a setting$", id="nothing alike"),
        pytest.param("tenant = 1\nzzz = 1", "'tenant' .*; 'zzz' ", id="all of them"),
        pytest.param(f"{'k' * 9999} = 1", r"'k{60}\.\.\.' in agent.toml", id="long name"),
        pytest.param("tapi_env_file = '/x'", "tapi_env_file in agent.toml comes too late", id="environment only"),
        pytest.param(
            "mode_tiers = {trial = 'basic'}", "mode_tiers in agent.toml is a table or a date", id="inline table"
        ),
        pytest.param("camera_ids = [[1]]", "camera_ids in agent.toml is a table or a date", id="nested list"),
        pytest.param("a = 1\nb = ?", r"agent.toml' cannot be used: it is not TOML: .*line 2", id="syntax"),
        pytest.param("a = 1" + "0" * 5000, "it is not TOML: ", id="giant number"),
        pytest.param("a = " + "[" * 9999, "it is not TOML: ", id="deep nesting"),
    ],
)
def test_toml_refusals(place: Place, toml: str, message: str) -> None:
    place.toml(toml)
    with pytest.raises(ConfigurationError, match=message) as refusal:
        place.load()
    assert str(place.config) in str(refusal.value)
    assert refusal.value.fix


@pytest.mark.parametrize(
    ("env", "line"),
    [
        pytest.param("A=1\n\n\nnonsense\nB=2", 4, id="no equals sign"),
        pytest.param("A='open", 1, id="open quote"),
        pytest.param("A=1\n= 2", 2, id="no name"),
    ],
)
def test_env_refusals_name_the_line_and_hide_it(place: Place, env: str, line: int) -> None:
    place.env(env)
    with pytest.raises(ConfigurationError, match=rf"\.env' cannot be used: line {line} is not NAME=value$"):
        place.load()


@pytest.mark.parametrize("variable", ["TAPI_CONFIG", "TAPI_ENV_FILE"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("absent", "there is no such file", id="absent"),
        pytest.param(".", "there is no such file", id="a directory"),
        pytest.param("plain/x", "Not a directory", id="below a file"),
        pytest.param("x" * 300, "File name too long", id="too long"),
        pytest.param("/proc/self/mem", "Input/output error", id="unreadable, even for root"),
        pytest.param("\0", "not a file name", id="no file can have that name"),
        pytest.param("latin", "line 2 is not UTF-8 text", id="not UTF-8"),
        pytest.param("huge", "it is larger than 1 MiB", id="too large"),
    ],
)
def test_a_named_file_must_be_usable(place: Place, variable: str, name: str, reason: str) -> None:
    (place.directory / "plain").touch()
    (place.directory / "latin").write_bytes(b"# ok\n# \xfc\n")
    (place.directory / "huge").write_bytes(b"#" * (1024**2 + 1))
    with pytest.raises(ConfigurationError, match=f"cannot be used: {reason}") as refusal:
        place.load(**{variable: name})
    assert variable in refusal.value.fix


def test_a_virtual_environment_called_env_is_not_a_file(place: Place) -> None:
    place.env_file.mkdir()
    assert place.load().tenant_id is None


def test_unknown_names_in_env_are_remarked_when_they_look_like_ours(place: Place) -> None:
    place.env("POSTGRES_HOSTT=x", "tenant_id=x", "TAPI_CONFIG=x", "MYSQL_HOST=x", "PATH=/bin", "TENANT_ID=real")
    settings = place.load(POSTGRES_PROT="ignored")
    assert settings.unknown == (
        "'POSTGRES_HOSTT' in .env is not a setting; did you mean POSTGRES_HOST?",
        "'tenant_id' in .env is not a setting; did you mean TENANT_ID?",
        "TAPI_CONFIG in .env comes too late: set it in the environment",
    )
    assert settings.tenant_id == "real"


@pytest.mark.parametrize(
    ("environ", "root", "state", "socket"),
    [
        pytest.param(
            {"STATE_DIRECTORY": "/s:/t", "RUNTIME_DIRECTORY": "/r:/q", "HOME": "/h"},
            False,
            "/s",
            "/r/agent.sock",
            id="systemd",
        ),
        pytest.param(
            {"HOME": "/root", "XDG_STATE_HOME": "/x"},
            True,
            "/var/lib/tapi-agent",
            "/run/tapi-agent/agent.sock",
            id="root",
        ),
        pytest.param({"HOME": "/h"}, False, "/h/.local/state/tapi-agent", None, id="user"),
        pytest.param(
            {"HOME": "/h", "XDG_STATE_HOME": "/x", "XDG_RUNTIME_DIR": "/run/user/7"},
            False,
            "/x/tapi-agent",
            "/run/user/7/tapi-agent/agent.sock",
            id="user with XDG",
        ),
        pytest.param(
            {"HOME": "/h", "XDG_STATE_HOME": "x", "XDG_RUNTIME_DIR": "r"},
            False,
            "/h/.local/state/tapi-agent",
            None,
            id="relative XDG paths are ignored",
        ),
        pytest.param({}, False, "/var/lib/tapi-agent", None, id="no home"),
    ],
)
def test_places_depend_on_who_runs_the_agent(
    place: Place, environ: dict[str, str], *, root: bool, state: str, socket: str | None
) -> None:
    machine = sources.read(environ, place.directory, root=root)[-1]
    assert machine.values.get("tapi_state_dir") == state
    assert machine.values.get("tapi_socket") == socket


def test_without_a_runtime_directory_the_socket_is_in_the_state_directory(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    settings = place.load(TAPI_STATE_DIR="state")
    assert settings.tapi_state_dir == place.directory / "state"
    assert settings.tapi_socket == place.directory / "state/agent.sock"
    assert settings.log_path == place.directory / "state/log/agent.log"


def test_relative_paths_count_from_the_current_directory(place: Place) -> None:
    place.env("LOG_FILE_PATH=logs/tapi.log")
    assert place.load().log_path == place.directory / "logs/tapi.log"
    assert place.load(LOG_FILE_PATH="/var/log/x").log_path == Path("/var/log/x")
