"""The installed command against a real agent and a real billing service: an operator's day at the box."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from e2e_tools import all_up, billed, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

    Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.slow

INSTALLED = Path(sys.executable).parent / "tapi-agent"


@pytest.fixture
def agent(service: SandboxProcess, launch: Callable[..., AgentProcess]) -> AgentProcess:
    """Running, with everything up and its cameras valid."""
    one = launch(settings_for(service))
    one.start()
    one.wait_for(lambda status: all_up(status) and status["state"] == "valid", within=30, what="valid")
    return one


@pytest.fixture
def command(folder: Path) -> Command:
    """The command as a shell would run it, with nothing but the given settings."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **settings}
        return subprocess.run(
            [INSTALLED, *arguments], env=environment, cwd=folder, capture_output=True, text=True, check=False
        )

    return run


def test_an_operators_day(agent: AgentProcess, service: SandboxProcess, command: Command) -> None:
    def ask(*arguments: str) -> str:
        done = command(*arguments, TAPI_SOCKET=str(agent.socket))
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert ask("status").startswith("License  valid (OK) since ")
    assert "2: 2 valid" in ask("status")
    assert ask("check", "analytics.heatmap", "--camera", "cam-01").startswith("analytics.heatmap: allowed (LICENSED)")
    recorded = json.loads(ask("usage", "record", "llm_tokens", "12.5", "--camera", "cam-01", "--json"))
    assert "llm_tokens" in ask("usage", "summary")
    ask("usage", "flush")
    assert billed(service)[recorded["event_id"]] == 1
    assert "base-catalog" in ask("plugins", "list")
    denied = command("check", "analytics.near_miss", TAPI_SOCKET=str(agent.socket))
    assert (denied.returncode, "advanced_analytics" in denied.stdout.replace(" ", "_").lower()) == (1, True)


def test_the_agent_is_found_by_its_settings(agent: AgentProcess, command: Command, folder: Path) -> None:
    (folder / ".env").write_text(f"TAPI_SOCKET={agent.socket}\n")
    assert command("status").returncode == 0


def test_a_killed_agent_is_4_and_a_started_one_answers_again(agent: AgentProcess, command: Command) -> None:
    agent.kill()
    gone = command("status", "--socket", str(agent.socket))
    assert (gone.returncode, gone.stdout) == (4, "")
    assert "connection refused" in gone.stderr
    agent.start()
    assert command("status", "--socket", str(agent.socket)).returncode == 0


def test_a_second_agent_on_the_same_socket_is_refused(agent: AgentProcess, command: Command, folder: Path) -> None:
    done = command("run", TAPI_SOCKET=str(agent.socket), TAPI_STATE_DIR=str(folder / "other"))
    assert done.returncode == 78
    assert "another agent already answers" in done.stderr
    assert command("status", "--socket", str(agent.socket)).returncode == 0
