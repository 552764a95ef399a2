"""What must hold of every first-party plugin: its names, its place in the checks, and what it may lean on."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tapi_agent.plugin.discovery import FIRST_PARTY

CHECKOUT = Path(__file__).parents[2]
PLUGINS = sorted(project.parent for project in (CHECKOUT / "plugins").glob("*/pyproject.toml"))
CONTRACTS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]
IDS = [plugin.name for plugin in PLUGINS]


def project(plugin: Path) -> dict[str, object]:
    return tomllib.loads((plugin / "pyproject.toml").read_text())


def wanted(plugin: Path) -> set[str]:
    """Names of the distributions that it needs besides the agent."""
    stated = project(plugin)["project"]["dependencies"]
    assert "tapi-agent" in stated
    return {re.match(r"[a-z0-9-]+", one)[0] for one in stated} - {"tapi-agent"}


def imported(module: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(module.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("plugin", PLUGINS, ids=IDS)
def test_its_names_follow_from_its_folder(plugin: Path) -> None:
    dashed, package = plugin.name.replace("_", "-"), f"tapi_{plugin.name}"
    stated = project(plugin)
    assert stated["project"]["name"] == f"tapi-agent-{dashed}"
    assert stated["project"]["entry-points"] == {"tapi_agent": {dashed: package}}
    assert stated["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [package]
    assert (plugin / package / "__init__.py").is_file()
    assert (plugin / "README.md").read_text().startswith(f"# tapi-agent-{dashed}\n")
    assert sorted((plugin / "tests").glob("test_*.py")), "no tests"


def test_the_first_parties_are_the_agent_and_these() -> None:
    assert {project(plugin)["project"]["name"] for plugin in PLUGINS} | {"tapi-agent"} == FIRST_PARTY


def test_the_import_contracts_know_every_plugin() -> None:
    packages = {f"tapi_{plugin.name}" for plugin in PLUGINS}
    apart = next(contract for contract in CONTRACTS["contracts"] if contract["id"] == "plugins-apart")
    assert set(CONTRACTS["root_packages"]) == packages | {"tapi_agent"}
    assert set(apart["layers"][0].replace("|", " ").split()) == packages


def test_no_two_test_modules_share_a_name() -> None:
    names = [module.name for plugin in PLUGINS for module in (plugin / "tests").glob("*.py")]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("plugin", PLUGINS, ids=IDS)
def test_what_it_needs_is_locked(plugin: Path) -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (CHECKOUT / "requirements.lock").read_text(), re.MULTILINE))
    assert wanted(plugin) <= locked


@pytest.mark.parametrize("plugin", PLUGINS, ids=IDS)
def test_it_imports_the_public_door_and_what_it_declares(plugin: Path) -> None:
    package = plugin / f"tapi_{plugin.name}"
    names = {name for module in package.rglob("*.py") for name in imported(module)}
    foreign = {name for name in names if name.partition(".")[0] not in {*sys.stdlib_module_names, package.name}}
    assert "tapi_agent.plugin" in foreign
    assert {name.partition(".")[0].replace("_", "-") for name in foreign - {"tapi_agent.plugin"}} <= wanted(plugin)


@pytest.mark.parametrize("plugin", PLUGINS, ids=IDS)
def test_its_readme_names_what_it_registers(plugin: Path) -> None:
    source = (plugin / f"tapi_{plugin.name}" / "__init__.py").read_text()
    features = re.findall(r'Feature\(key="([^"]+)".*description="([^"]+)"', source)
    rows = re.findall(r"^\| `([^`]+\.[^`]+)` \| ([^|]+) \|", (plugin / "README.md").read_text(), re.MULTILINE)
    assert rows == features
