"""Every distribution builds as a wheel, without a network, and what is installed from it is found by the agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import ZipFile

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT: Final = Path(__file__).parents[3]
PLUGINS: Final = sorted(project.parent.name for project in (CHECKOUT / "plugins").glob("*/pyproject.toml"))
OFFLINE: Final = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation")
LOAD: Final = """
import json, sys
from tapi_agent.plugin.host import PluginHost
host = PluginHost()
host.load()
print(json.dumps({report.name: [report.distribution, report.enabled, report.error] for report in host.report()}))
print(json.dumps(sys.modules[sys.argv[1]].__file__))
host.close()
"""


def pip(command: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", command, *OFFLINE, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The wheel of the agent and of every plugin, by the distribution's name."""
    folder = tmp_path_factory.mktemp("wheels")
    pip("wheel", "--wheel-dir", str(folder), str(CHECKOUT), *(str(CHECKOUT / "plugins" / name) for name in PLUGINS))
    return {wheel.name.partition("-")[0].replace("_", "-"): wheel for wheel in folder.glob("*.whl")}


@pytest.fixture(scope="session")
def agent(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the agent installed, and all it needs, but none of our plugins."""
    folder = tmp_path_factory.mktemp("agent")
    pip("install", "--target", str(folder), str(wheels["tapi-agent"]))
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not package.name.lstrip("_").startswith("tapi_"):
            (folder / package.name).symlink_to(package)
    return folder


def packages(wheel: Path) -> set[str]:
    """What it puts into an environment besides its own metadata."""
    name, version, *_tags = wheel.name.split("-")
    return {path.partition("/")[0] for path in ZipFile(wheel).namelist()} - {f"{name}-{version}.dist-info"}


def test_every_distribution_has_a_wheel(wheels: Mapping[str, Path]) -> None:
    assert set(wheels) == {"tapi-agent", *(f"tapi-agent-{name.replace('_', '-')}" for name in PLUGINS)}


def test_the_agent_s_wheel_holds_no_plugin(wheels: Mapping[str, Path]) -> None:
    assert packages(wheels["tapi-agent"]) == {"tapi_agent"}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_s_wheel_holds_its_package_alone(wheels: Mapping[str, Path], plugin: str) -> None:
    assert packages(wheels[f"tapi-agent-{plugin.replace('_', '-')}"]) == {f"tapi_{plugin}"}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_installed_alone_it_is_found_and_enabled(
    wheels: Mapping[str, Path], agent: Path, tmp_path: Path, plugin: str
) -> None:
    dashed = plugin.replace("_", "-")
    pip("install", "--target", str(tmp_path), str(wheels[f"tapi-agent-{dashed}"]))
    done = subprocess.run(
        [sys.executable, "-S", "-c", LOAD, f"tapi_{plugin}"],  # -S: nothing of the environment that the tests run in
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}:{agent}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plugins, module = map(json.loads, done.stdout.splitlines()[-2:])
    assert plugins == {"base-catalog": ["tapi-agent", True, None], dashed: [f"tapi-agent-{dashed}", True, None]}
    assert module == str(tmp_path / f"tapi_{plugin}" / "__init__.py")
