"""A box that never reaches the billing service: its request and the answer are carried by hand, with real commands."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tapi_agent.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow

ACCEPTED, REFUSED = 0, 7
CAMERAS = ("cam-01", "cam-02")


@pytest.fixture
def office(folder: Path) -> Iterator[SandboxProcess]:
    """The billing service, which only the person who carries the files can reach."""
    with SandboxProcess(folder / "ledger.db", signed=True) as sandbox:
        sandbox.admin.leases(sandbox.tenant, license_key="secret")
        yield sandbox


@pytest.fixture
def box(office: SandboxProcess, launch: Callable[..., AgentProcess]) -> AgentProcess:
    """Started, without any link."""
    agent = launch(air_gapped(office, "box-1"))
    agent.start()
    return agent


def air_gapped(office: SandboxProcess, device: str) -> dict[str, str]:
    return {
        "TENANT_ID": office.tenant,
        "EDGE_DEVICE_ID": device,
        "CAMERA_IDS": ",".join(CAMERAS),
        "ENABLE_LICENSE_VALIDATION": "false",
        "TRUSTED_KEYS": office.admin.trusted_keys(),
        "LICENSE_KEY": "secret",
    }


def run(agent: AgentProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the operator's."""
    return subprocess.run(
        [sys.executable, "-m", "tapi_agent", "license", *arguments],
        env=agent.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def fetch_answer(agent: AgentProcess, office: SandboxProcess, folder: Path, name: str) -> Path:
    """Make a request, carry it to the office, come back with the answer."""
    request, answer = folder / f"{name}.json", folder / f"{name}.lease"
    assert run(agent, "request", "-o", str(request)).returncode == ACCEPTED
    answer.write_text(office.admin.answer(request.read_bytes()))
    return answer


def states(agent: AgentProcess) -> dict[str, tuple[str, str]]:
    with agent.client() as client:
        return {one["camera_id"]: (one["state"], one["reason"]) for one in client.license_status()["licenses"]}


def test_a_request_and_its_answer_license_a_box_for_good(
    box: AgentProcess, office: SandboxProcess, folder: Path
) -> None:
    assert set(states(box).values()) == {("expired", "NO_LICENSE")}
    answer = fetch_answer(box, office, folder, "first")
    dry = run(box, "import", str(answer), "--dry-run")
    assert (dry.returncode, "expired (NO_LICENSE) → valid" in dry.stdout) == (ACCEPTED, True)
    assert set(states(box).values()) == {("expired", "NO_LICENSE")}
    done = run(box, "import", str(answer))
    assert (done.returncode, done.stderr) == (ACCEPTED, "")
    assert set(states(box).values()) == {("valid", "OK")}
    box.kill()
    box.start()
    assert set(states(box).values()) == {("valid", "OK")}
    with box.client() as client:
        assert {(one["signed"], one["tier"]) for one in client.license_status()["licenses"]} == {(True, "file")}


def test_what_is_no_answer_to_this_box_is_refused(
    box: AgentProcess, office: SandboxProcess, folder: Path, launch: Callable[..., AgentProcess]
) -> None:
    other = launch(air_gapped(office, "box-2"), name="other")
    other.start()
    first = fetch_answer(box, office, folder, "first")
    foreign = fetch_answer(other, office, folder, "foreign")
    tampered = folder / "tampered.lease"
    text = first.read_text()
    tampered.write_text(text[:200] + ("A" if text[200] != "A" else "B") + text[201:])
    refused = {name: run(box, "import", str(file)) for name, file in (("foreign", foreign), ("tampered", tampered))}
    assert {name: (one.returncode, one.stdout) for name, one in refused.items()} == {
        "foreign": (REFUSED, ""),
        "tampered": (REFUSED, ""),
    }
    assert all(one.stderr.count("\n") == 2 and "  → " in one.stderr for one in refused.values())
    assert run(box, "import", str(first)).returncode == ACCEPTED
    second = fetch_answer(box, office, folder, "second")
    replayed = run(box, "import", str(first))
    assert (replayed.returncode, "open request" in replayed.stderr) == (REFUSED, True)
    assert run(box, "import", str(second)).returncode == ACCEPTED
    replayed = run(box, "import", str(first))
    assert (replayed.returncode, "older" in replayed.stderr) == (REFUSED, True)
    assert set(states(box).values()) == {("valid", "OK")}


def test_a_revocation_is_carried_too(box: AgentProcess, office: SandboxProcess, folder: Path) -> None:
    assert run(box, "import", str(fetch_answer(box, office, folder, "yes"))).returncode == ACCEPTED
    office.admin.revoke(office.tenant)
    assert run(box, "import", str(fetch_answer(box, office, folder, "no"))).returncode == ACCEPTED
    assert set(states(box).values()) == {("expired", "REVOKED")}
