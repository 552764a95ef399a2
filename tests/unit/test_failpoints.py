"""Places to be killed at: each is named once, used once, and used where its name says; traps are set by name."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import tapi_agent
from tapi_agent.failpoints import VARIABLE, Failpoint, arm

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE: Final = Path(tapi_agent.__file__).parent
HOMES: Final = {
    "spool": "adapters/spool/",
    "ledger": "adapters/postgres/usage.py",
    "batch": "adapters/postgres/usage_batches.py",
    "root": "adapters/postgres/usage_roots.py",
    "doubt": "adapters/postgres/usage_doubts.py",
    "service": "adapters/postgres/usage_doubts.py",
    "send": "services/delivery/sender.py",
    "loss": "adapters/files/losses.py",
    "ballast": "adapters/files/disk.py",
}
"""Where the places of each part are."""
REACH: Final = "from tapi_agent.failpoints import Failpoint, reach; reach(Failpoint.SEND_BEGUN)"


def uses() -> Iterator[tuple[str, str]]:
    """Member and file of every call of ``reach``."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="reach"), args=[ast.Attribute(value=ast.Name(id="Failpoint")) as member]
                ):
                    yield member.attr, path.relative_to(SOURCE).as_posix()
                case ast.Call(func=ast.Name(id="reach")):
                    pytest.fail(f"{path}:{node.lineno}: reach takes a member of Failpoint, written out")


def outcome(traps: str, code: str) -> int:
    environment = {"PATH": os.environ["PATH"], VARIABLE: traps}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False).returncode


def test_every_place_is_named_in_the_source_once() -> None:
    assert Counter(member for member, _ in uses()) == Counter(member.name for member in Failpoint)


def test_every_place_is_where_its_name_says() -> None:
    for member, file in uses():
        assert file.startswith(HOMES[Failpoint[member].partition(".")[0]]), f"{member} in {file}"


@pytest.mark.parametrize("member", Failpoint)
def test_a_member_is_called_as_its_place_is(member: Failpoint) -> None:
    assert member.name == member.value.upper().replace(".", "_")


@pytest.mark.parametrize(
    ("traps", "times", "code"),
    [
        pytest.param("", 3, 0, id="none"),
        pytest.param("send.begun=kill", 1, -signal.SIGKILL, id="the first time"),
        pytest.param("send.begun:3=kill", 2, 0, id="not yet"),
        pytest.param("send.begun:3=kill", 3, -signal.SIGKILL, id="the third time"),
        pytest.param("send.answered=kill,send.begun:2=kill", 2, -signal.SIGKILL, id="one of two"),
        pytest.param("send.answered=kill", 3, 0, id="elsewhere"),
    ],
)
def test_a_trap_kills_when_its_place_is_reached_so_many_times(traps: str, times: int, code: int) -> None:
    assert outcome(traps, "; ".join([REACH] * times)) == code


def test_a_process_can_be_stopped_there_and_goes_on_when_it_is_woken() -> None:
    environment = {"PATH": os.environ["PATH"], VARIABLE: "send.begun=stop"}
    with subprocess.Popen([sys.executable, "-c", REACH], env=environment) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.wait(20) == 0


@pytest.mark.parametrize("traps", ["nowhere=kill", "send.begun", "send.begun=explode", "send.begun:often=kill"])
def test_a_trap_that_could_prove_nothing_is_refused(traps: str) -> None:
    with pytest.raises(
        ValueError, match=traps.partition("=")[0].partition(":")[0] if "often" not in traps else "often"
    ):
        arm(traps)
