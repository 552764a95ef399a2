"""A real agent and its engines on a small file system that others fill: what it says no to, and what it keeps."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final

import pytest
from e2e_tools import all_up, billed, record, settings_for, settle

from tapi_agent.domain.errors import NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow

MIB: Final = 1024 * 1024
SMALL: Final = {
    "SPOOL_SHED_FREE_BYTES": str(160 * MIB),
    "SPOOL_SLOW_FREE_BYTES": str(96 * MIB),
    "SPOOL_MIN_FREE_BYTES": str(64 * MIB),
    "SPOOL_BALLAST_BYTES": str(16 * MIB),
}
RESUMES_WITHIN: Final = 5.0


class SmallDisk:
    """A file system of 512 MiB, and what others keep on it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.other = place / "recording.mp4"

    @property
    def free(self) -> int:
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def eat(self, *, leave: int) -> None:
        """The others take all but ``leave`` bytes."""
        with self.other.open("ab", buffering=0) as file, suppress(OSError):  # the agent writes too, and may be faster
            while (more := min(self.free - leave, MIB)) > 0:
                file.write(b"\0" * more)

    def clear(self) -> None:
        """The others go."""
        self.other.unlink()


@dataclass
class Caller:
    """Records without a pause, and remembers what it was told."""

    agent: AgentProcess
    acknowledged: list[str] = field(default_factory=list)
    refused: int = 0
    others: list[Exception] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def call(self) -> None:
        with self.agent.client() as client:
            while not self.over.is_set():
                try:
                    self.acknowledged.append(client.record("api_call", "0.5", camera_id="cam-01")["event_id"])
                except NoSpaceError:
                    self.refused += 1
                except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                    self.others.append(error)
                    return


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    place = Path(mkdtemp(prefix="ta-disk-", dir="/tmp"))
    command = ["mount", "-t", "tmpfs", "-o", "size=512m,mode=711", "tmpfs", str(place)]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        place.rmdir()
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield SmallDisk(place)
    subprocess.run(["umount", "--lazy", place], check=True)
    place.rmdir()


@pytest.fixture
def agent(disk: SmallDisk, service: SandboxProcess, launch: Callable[..., AgentProcess]) -> AgentProcess:
    agent = launch(settings_for(service, TAPI_STATE_DIR=str(disk.place / "state"), **SMALL))
    agent.start()
    agent.wait_for(lambda s: all_up(s) and s["state"] == "valid", within=60, what="all up and licensed")
    agent.wait_for(lambda s: s["space"]["ballast"], within=10, what="the reserve held")
    assert room_is("plenty")(agent.status())
    return agent


def room_is(*names: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status["space"]["room"] in names


def refused(status: dict[str, Any]) -> int:
    return sum(loss["events"] for loss in status["losses"] if loss["kind"] == "refused")


@contextmanager
def calls_to(agent: AgentProcess) -> Iterator[Caller]:
    caller = Caller(agent)
    calling = threading.Thread(target=caller.call)
    calling.start()
    try:
        yield caller
    finally:
        caller.over.set()
        calling.join()
    assert caller.others == []


def test_what_is_refused_is_an_error_and_counted_and_what_is_acknowledged_is_billed(
    disk: SmallDisk, agent: AgentProcess, service: SandboxProcess
) -> None:
    with calls_to(agent) as caller:
        disk.eat(leave=40 * MIB)
        agent.wait_for(lambda status: refused(status) >= 3, within=30, what="refusals")
    settle(agent)  # draining and delivery go on meanwhile
    assert room_is("full")(agent.status())
    assert billed(service) == dict.fromkeys(caller.acknowledged, 1)
    (loss,) = agent.status()["losses"]
    assert (loss["kind"], loss["meter"], loss["events"]) == ("refused", "api_call", caller.refused)
    assert Decimal(loss["quantity"]) == caller.refused * Decimal("0.5")
    disk.clear()
    agent.wait_for(room_is("plenty"), within=RESUMES_WITHIN, what="room again")
    more = record(agent)
    settle(agent)
    assert billed(service) == dict.fromkeys([*caller.acknowledged, *more], 1)
    assert agent.stop() == 0
    agent.start()
    assert refused(agent.status()) == caller.refused


def test_a_disk_without_a_byte_left_costs_nothing_that_was_acknowledged(
    disk: SmallDisk, agent: AgentProcess, service: SandboxProcess
) -> None:
    known = record(agent)  # from the first reply on it is known that this service counts nothing twice
    settle(agent)
    with calls_to(agent) as caller:
        disk.eat(leave=0)
        agent.wait_for(room_is("full"), within=10, what="the full disk noticed")
        disk.eat(leave=0)  # the reserve too, as soon as it is given up
        agent.wait_for(lambda status: refused(status) >= 3, within=30, what="refusals")
    told = refused(agent.status())
    assert told == caller.refused
    agent.kill()
    agent.start()
    agent.wait_for(room_is("full"), within=10, what="the full disk noticed by the next life")
    assert refused(agent.status()) == told
    with agent.client() as client, pytest.raises(NoSpaceError) as refusal:
        client.record("api_call", 1, camera_id="cam-01")
    assert "free space" in refusal.value.fix
    disk.clear()
    agent.wait_for(room_is("plenty"), within=RESUMES_WITHIN, what="room again")
    more = record(agent)
    agent.wait_for(all_up, within=60, what="PostgreSQL back")
    settle(agent)
    assert billed(service) == dict.fromkeys([*known, *caller.acknowledged, *more], 1)
