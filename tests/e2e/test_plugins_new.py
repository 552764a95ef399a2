"""What ``plugins new`` writes: it installs, its own tests pass, and a running agent has what it adds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest
from author_tools import Done, Workbench
from e2e_tools import settings_for

if TYPE_CHECKING:
    from tapi_agent.sandbox.process import SandboxProcess

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
TEMPLATES = CHECKOUT / "agent" / "tapi_agent" / "cli" / "plugin_template"


@pytest.fixture
def workbench(folder: Path) -> Workbench:
    return Workbench(folder)


def well(done: list[Done]) -> str:
    """The last output, after all went well."""
    for one in done:
        assert one.code == 0, f"$ {one.command}\n{one.output}"
    return done[-1].output


def next_commands(workbench: Workbench) -> list[str]:
    """What ``new`` says comes next."""
    return [line.strip() for line in well(workbench.run("tapi-agent plugins new fork-lifts")).splitlines()[1:]]


def test_the_three_commands_that_come_next(workbench: Workbench) -> None:
    assert "4 passed" in well(workbench.run(*next_commands(workbench)))


def test_it_is_typed(workbench: Workbench) -> None:
    next_commands(workbench)
    cache = workbench.folder / "mypy"
    well(workbench.run(f"cd fork-lifts && python -m mypy --strict --cache-dir {cache} ."))


@pytest.mark.parametrize("install", ["--editable fork-lifts", "./fork-lifts"])
def test_a_running_agent_has_what_it_adds(workbench: Workbench, service: SandboxProcess, install: str) -> None:
    next_commands(workbench)
    settings = settings_for(service, TAPI_STATE_DIR="$PWD/state", TAPI_SOCKET="$PWD/agent.sock")
    *before, plugins, entitlements, after = workbench.run(
        f"python -m pip install --quiet {install}",
        "export " + " ".join(f'{name}="{value}"' for name, value in settings.items()),
        "tapi-agent run > agent.log 2>&1 &",
        "tapi-agent wait --for valid --timeout 30s",
        "curl --silent --fail --unix-socket agent.sock http://localhost/api/v1/plugins",
        "tapi-agent entitlements --camera cam-01 --json",
        "kill %1 && wait %1",
    )
    well([*before, plugins, entitlements, after])
    plugin = by(plugins, "plugins", "name", "fork-lifts")
    assert (plugin["distribution"], plugin["version"], plugin["enabled"]) == ("fork-lifts", "0.1.0", True)
    assert (plugin["features"], plugin["packs"]) == (["analytics.fork_lifts"], ["fork_lifts"])
    assert plugin["meters"] == ["fork_lifts_runs"]
    decision = by(entitlements, "features", "feature", "analytics.fork_lifts")
    assert (decision["allowed"], decision["packs"]) == (False, ["fork_lifts"])


def by(done: Done, member: str, key: str, value: str) -> dict[str, Any]:
    """The one of a document's members whose ``key`` is ``value``."""
    return next(one for one in json.loads(done.output)[member] if one[key] == value)


def test_the_templates_are_in_the_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    shipped = {Path(name) for name in ZipFile(wheel).namelist()}
    templates = {file.relative_to(CHECKOUT / "agent") for file in TEMPLATES.rglob("*.tmpl")}
    assert len(templates) == 6
    assert templates < shipped
    assert Path("tapi_agent/py.typed") in shipped
