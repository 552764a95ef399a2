"""Reads the places that settings come from, strictly: what is misspelt or malformed is said, never skipped.

pydantic-settings' own readers pass over malformed lines and unknown keys in silence and expand ``${...}`` in passwords.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.settings import files
from tapi_agent.settings.agent import SYSTEM_CONFIG
from tapi_agent.settings.layer import Layer
from tapi_agent.settings.model import DEFAULT
from tapi_agent.settings.values import shown
from tapi_agent.settings.variables import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LONGEST_NAME: Final = max(map(len, VARIABLES)) * 2
_PREFIXES: Final = tuple({variable.name.partition("_")[0] + "_" for variable in VARIABLES.values()})


def read(environ: Mapping[str, str], cwd: Path, *, root: bool) -> tuple[Layer, ...]:
    """Every layer, the one that wins first. Raises ``ConfigurationError`` for a file that cannot be used."""
    return (
        _environment(environ, cwd),
        _env_file(_named_file(environ, cwd, "TAPI_ENV_FILE"), cwd),
        _credential(environ, cwd),
        _toml_file(_named_file(environ, cwd, "TAPI_CONFIG"), cwd),
        _machine(environ, cwd, root=root),
    )


def _environment(environ: Mapping[str, str], cwd: Path) -> Layer:
    given = {field: environ[variable.name] for field, variable in VARIABLES.items() if variable.name in environ}
    return Layer("environment", _values(given, cwd))


def _env_file(named: Path | None, cwd: Path) -> Layer:
    file = files.read(named or cwd / ".env", required=named is not None)
    given = files.env_lines(file)
    known = {variable.name: field for field, variable in VARIABLES.items() if not variable.environment_only}
    values = _values({known[name]: text for name, text in given.items() if name in known}, cwd)
    unknown = tuple(
        _is_no_setting(name, ".env", known)
        for name in given
        if name.upper().startswith(_PREFIXES) and name not in known
    )
    return Layer(".env", values, unknown=unknown, risk=_risk(file, values))


def _toml_file(named: Path | None, cwd: Path) -> Layer:
    file = files.read(named or SYSTEM_CONFIG, required=named is not None)
    known = [field for field, variable in VARIABLES.items() if not variable.environment_only]
    given = {key: _toml_text(value) for key, value in files.toml_keys(file).items()}
    wrong = [_is_no_setting(key, "agent.toml", known) for key in given if key not in known]
    wrong += [f"{key} in agent.toml is a table or a date" for key in known if given.get(key, "") is None]
    if wrong:
        raise ConfigurationError(
            f"{file.path}: " + "; ".join(wrong),
            fix="name = value lines without [tables]; `tapi-agent config template` lists the names",
        )
    values = _values({key: text for key, text in given.items() if text is not None}, cwd)
    return Layer("agent.toml", values, risk=_risk(file, values))


def _credential(environ: Mapping[str, str], cwd: Path) -> Layer:
    """The API key as systemd's LoadCredential hands it over: more particular than a file of settings."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    key = files.read(Path(directory) / "api-key", required=False).text if directory else ""
    return Layer("credential", _values({"billing_api_key": key.strip()}, cwd))


def _machine(environ: Mapping[str, str], cwd: Path, *, root: bool) -> Layer:
    """The defaults that depend on who runs the agent, and how."""
    places = {"tapi_env_file": str(cwd / ".env"), "tapi_state_dir": _state_directory(environ, root=root)}
    if runtime := _runtime_directory(environ, root=root):
        places["tapi_socket"] = runtime + "/agent.sock"
    return Layer(DEFAULT, places)


def _state_directory(environ: Mapping[str, str], *, root: bool) -> str:
    if systemd := environ.get("STATE_DIRECTORY", ""):
        return systemd.partition(":")[0]
    home = environ.get("HOME", "")
    if root or not home:
        return "/var/lib/tapi-agent"
    return _xdg(environ, "XDG_STATE_HOME") or home + "/.local/state/tapi-agent"


def _runtime_directory(environ: Mapping[str, str], *, root: bool) -> str:
    if systemd := environ.get("RUNTIME_DIRECTORY", ""):
        return systemd.partition(":")[0]
    return "/run/tapi-agent" if root else _xdg(environ, "XDG_RUNTIME_DIR")


def _xdg(environ: Mapping[str, str], name: str) -> str:
    base = environ.get(name, "")
    return base + "/tapi-agent" if base.startswith("/") else ""  # the XDG specification ignores relative ones


def _values(given: Mapping[str, str], cwd: Path) -> dict[str, str | SecretStr]:
    """What counts as given: an empty value does not, as env files and systemd write it for "none"."""
    stripped = {field: text if VARIABLES[field].secret else text.strip() for field, text in given.items()}
    return {field: _prepared(field, text, cwd) for field, text in stripped.items() if text}


def _prepared(field: str, text: str, cwd: Path) -> str | SecretStr:
    if VARIABLES[field].secret:
        return SecretStr(text)
    return str(cwd / text) if VARIABLES[field].is_path and not text.startswith("~") else text


def _risk(file: files.File, values: Mapping[str, str | SecretStr]) -> str:
    return file.risk(secrets=any(isinstance(value, SecretStr) for value in values.values()))


def _named_file(environ: Mapping[str, str], cwd: Path, name: str) -> Path | None:
    text = environ.get(name, "").strip()
    return cwd / text if text else None


def _toml_text(value: object) -> str | None:
    """A TOML value in the one syntax all sources share; ``None`` when it has no such form."""
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case list() if all(isinstance(item, str) for item in value):
            return ",".join(value)
        case _:
            return None


def _is_no_setting(name: str, file: str, known: Iterable[str]) -> str:
    if name.lower() in VARIABLES and VARIABLES[name.lower()].environment_only:
        return f"{name} in {file} comes too late: set it in the environment"
    same_case = name.upper() if file == ".env" else name.lower()
    close = difflib.get_close_matches(same_case[:_LONGEST_NAME], known, n=1)
    return f"{shown(name)} in {file} is not a setting" + "".join(f"; did you mean {match}?" for match in close)
