"""Signed leases between a real agent and a real service: keys change, licenses end, and what is forged says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from e2e_tools import settings_for

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow

CAMERA = "cam-01"
VALIDATE = "/api/v1/licenses/validate"


@pytest.fixture
def signing(service: SandboxProcess) -> SandboxProcess:
    service.admin.leases(service.tenant)
    return service


@pytest.fixture
def make(
    signing: SandboxProcess, launch: Callable[..., AgentProcess], database_dsn: str, valkey_url: str
) -> Callable[..., AgentProcess]:
    """An agent that trusts these keys, and asks only when it is told to."""

    def agent(keys: str, **more: str) -> AgentProcess:
        stores = {"POSTGRES_DSN": database_dsn, "REDIS_URL": valkey_url}
        made = launch(settings_for(signing, CAMERA_IDS=CAMERA, TRUSTED_KEYS=keys, **stores, **more))
        made.start()
        return made

    return agent


@pytest.fixture
def agent(make: Callable[..., AgentProcess], signing: SandboxProcess) -> AgentProcess:
    """Licensed by the first key."""
    made = make(signing.admin.trusted_keys())
    wait_until(lambda: ask(made)["state"] == "valid", within=20, what="licensed")
    return made


def ask(agent: AgentProcess) -> dict[str, Any]:
    """The camera's license, after the service was asked."""
    with agent.client() as client:
        return client.validate(CAMERA, wait=5)


def word(view: dict[str, Any]) -> tuple[Any, ...]:
    return view["state"], view["reason"], view["sequence"], view["key_id"], view["verified_at"]


def test_keys_are_rotated_without_a_gap(
    make: Callable[..., AgentProcess], signing: SandboxProcess, agent: AgentProcess
) -> None:
    old = signing.admin.trusted_keys()
    signing.admin.rotate_key()
    both = signing.admin.trusted_keys()
    new = both.split(",")[0]
    first = ask(agent)
    assert (first["state"], first["key_id"]) == ("valid", old.split(":")[0])
    assert "key" in first["problem"]
    agent.stop()
    overlapping = make(both)
    assert (ask(overlapping)["state"], ask(overlapping)["key_id"]) == ("valid", new.split(":")[0])
    overlapping.stop()
    rotated = make(new)
    assert (ask(rotated)["state"], ask(rotated)["problem"]) == ("valid", None)
    rotated.stop()
    backwards = make(old)
    view = ask(backwards)
    assert (view["state"], view["reason"], view["verified_at"]) == ("expired", "KEY_UNKNOWN", None)


@pytest.mark.parametrize(("status", "reason"), [("suspended", "SUSPENDED"), ("revoked", "REVOKED")])
def test_a_signed_no_counts_at_once_and_outlives_kill_9(
    agent: AgentProcess, signing: SandboxProcess, status: str, reason: str
) -> None:
    signing.admin.set_status(signing.tenant, status)
    assert (ask(agent)["state"], ask(agent)["reason"]) == ("expired", reason)
    agent.kill()
    signing.kill()
    agent.start()
    view = ask(agent)
    assert (view["state"], view["reason"], view["signed"]) == ("expired", reason, True)
    signing.start()
    signing.admin.set_status(signing.tenant, "active")
    wait_until(lambda: ask(agent)["state"] == "valid", within=20, what="reinstated")


FORGERIES = [
    "replay_lease",
    "wrong_machine",
    "wrong_key",
    "unsigned",
    "wrong_nonce",
    "wrong_subject",
    "old_sequence",
]


def test_what_is_forged_is_no_answer_and_status_says_why(agent: AgentProcess, signing: SandboxProcess) -> None:
    """Each of them after a no, which they would have undone."""
    signing.admin.revoke(signing.tenant)
    before = ask(agent)
    assert before["reason"] == "REVOKED"
    signing.admin.set_status(signing.tenant, "active")
    problems = {}
    for forgery in FORGERIES:
        signing.admin.faults({"action": forgery, "path": VALIDATE})
        view = ask(agent)
        assert word(view) == word(before), forgery
        problems[forgery] = view["problem"]
        signing.admin.clear_faults()
    assert all(problems.values())
    assert len(set(problems.values())) >= len(FORGERIES) - 2, problems
    assert ask(agent)["state"] == "valid"


def test_a_lease_for_another_machine_is_worth_nothing_where_it_is_copied(
    agent: AgentProcess, signing: SandboxProcess, make: Callable[..., AgentProcess]
) -> None:
    """The same state directory and database under another device id."""
    agent.stop()
    signing.kill()
    clone = make(agent.environment["TRUSTED_KEYS"], EDGE_DEVICE_ID="box-2")
    with clone.client() as client:
        view = client.validate(CAMERA)
    assert (view["state"], view["reason"], view["verified_at"]) == ("expired", "MACHINE_MISMATCH", None)
