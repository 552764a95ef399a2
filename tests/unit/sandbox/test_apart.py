"""What the sandbox shares with the agent, and what its parent process has to load."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def loaded_by(module: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"]
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return set(subprocess.run(command, env=unmeasured, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("module", ["tapi_agent.sandbox.server", "tapi_agent.sandbox.process"])
def test_nothing_of_the_agent_but_the_domain(module: str) -> None:
    rooms = {name.split(".")[1] for name in loaded_by(module) if name.startswith("tapi_agent.")}
    assert rooms == {"sandbox", "domain"}


def test_steering_it_from_outside_takes_the_standard_library_only() -> None:
    third_party = {"uvicorn", "starlette", "pydantic", "orjson", "httpx", "sqlite3"}
    assert not loaded_by("tapi_agent.sandbox.process") & third_party
